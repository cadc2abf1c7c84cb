"""Refuses functions that Redshift does not have, or has only on its leader node."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from sqlglot.tokenizer_core import Token, TokenType

from tests.redshift_standin.refusals import Refused

# The documented functions of Redshift, in the order of the developer guide. A function that is in
# neither list is refused, because a list of the functions to refuse would never be complete.
ALLOWED_FUNCTIONS = frozenset(
    """
    any_value avg count listagg max median min percentile_cont percentile_disc stddev_samp
    stddev_pop stddev sum var_samp var_pop variance approximate bit_and bit_or bool_and
    bool_or cume_dist dense_rank first_value lag last_value lead nth_value ntile
    percent_rank rank ratio_to_report row_number coalesce decode greatest least nvl nvl2
    nullif add_months convert_timezone current_date date_cmp dateadd datediff date_part
    date_part_year date_trunc extract getdate interval_cmp last_day months_between next_day
    sysdate timeofday timezone to_timestamp trunc date_add date_diff abs acos asin atan
    atan2 cbrt ceil ceiling cos cot degrees dexp dlog1 dlog10 exp floor ln log mod pi power
    pow radians random round sin sign sqrt tan ascii bpcharcmp btrim bttext_pattern_cmp
    charindex char_length character_length chr collate concat crc32 difference initcap left
    right len length lower lpad rpad ltrim octetindex octet_length position quote_ident
    quote_literal regexp_count regexp_instr regexp_replace regexp_substr repeat replace
    replicate reverse rtrim soundex split_part strpos strtol substring substr textlen
    translate trim upper can_json_parse is_valid_json is_valid_json_array json_array_length
    json_extract_array_element_text json_extract_path_text json_parse json_serialize
    json_size json_typeof json_serialize_to_varbyte array array_concat array_flatten
    get_array_length split_to_array subarray array_contains is_array is_bigint is_boolean
    is_char is_decimal is_float is_integer is_object is_scalar is_smallint is_varchar object
    object_transform size fnv_hash farmfingerprint64 checksum func_sha1 md5 sha sha1 sha2
    from_hex from_varbyte to_hex to_varbyte getbit hll hll_cardinality hll_combine
    hll_create_sketch murmur3_32_hash cast convert to_char to_date to_number try_cast
    text_to_int_alt text_to_numeric_alt current_setting current_database current_user
    current_user_id has_database_privilege has_schema_privilege has_table_privilege
    pg_backend_pid session_user set_config user version current_aws_account
    current_namespace current_schema user_is_member_of role_is_member_of pg_last_query_id
    pg_last_copy_id slice_num pg_terminate_backend pg_cancel_backend abs_ grouping
    grouping_id exists date time timestamp timestamptz interval char varchar decimal numeric
    """.split()  # noqa: SIM905
)
# These functions exist only on the leader node. A statement that reads a user's table cannot call
# them.
LEADER_FUNCTIONS = frozenset(
    """
    generate_series array_agg array_append array_length array_prepend array_to_string
    array_upper array_lower current_schemas format_type has_column_privilege
    has_function_privilege obj_description col_description pg_get_late_binding_view_cols
    pg_get_viewdef pg_get_userbyid pg_get_expr pg_get_constraintdef pg_get_indexdef
    pg_table_is_visible string_to_array to_ascii to_hex_ unnest now age statement_timestamp
    clock_timestamp isfinite justify_days justify_hours justify_interval getdatabaseencoding
    pg_encoding_to_char inet_client_addr pg_size_pretty information_schema aclexplode
    makeaclitem array_in textin varcharin charindex_ has_assumerole_privilege nextval
    currval
    """.split()  # noqa: SIM905
)
# After one of these tokens, a name before "(" is not a call but the name of a column list, an alias
# with columns, or a type.
NO_CALL_AFTER = {
    TokenType.VAR,
    TokenType.IDENTIFIER,
    TokenType.R_PAREN,
    TokenType.INTO,
    TokenType.ALIAS,
    TokenType.TABLE,
    TokenType.DOT,
    TokenType.DCOLON,
    TokenType.WITH,
    TokenType.RECURSIVE,
}


def called_functions(tokens: list[Token]) -> Iterable[str]:
    for place, (name, following) in enumerate(itertools.pairwise(tokens)):
        if following.token_type is not TokenType.L_PAREN or name.token_type not in (
            TokenType.VAR,
            TokenType.UNNEST,
            TokenType.ARRAY,
            TokenType.FORMAT,
            TokenType.ROW,
        ):
            continue
        before = tokens[place - 1].token_type if place else None
        is_cte = before is TokenType.COMMA and _names_a_cte(tokens, place + 1)
        if (before not in NO_CALL_AFTER and not is_cte) or (
            before is TokenType.DOT and tokens[place - 2].text.lower() == "pg_catalog"
        ):
            yield name.text.lower()


def _names_a_cte(tokens: list[Token], opening: int) -> bool:
    """Return whether `, name (column, ...) as (` continues a WITH clause at `opening`."""
    depth = 0
    for place in range(opening, len(tokens)):
        if tokens[place].token_type is TokenType.L_PAREN:
            depth += 1
        elif tokens[place].token_type is TokenType.R_PAREN:
            depth -= 1
            if depth == 0:
                after = tokens[place + 1 : place + 3]
                return [token.token_type for token in after] == [TokenType.ALIAS, TokenType.L_PAREN]
    return False


def refuse_functions(tokens: list[Token], reads_tables: bool) -> None:
    for name in called_functions(tokens):
        if name in ALLOWED_FUNCTIONS:
            continue
        if name not in LEADER_FUNCTIONS:
            raise Refused("42883", f"function {name}() does not exist")
        if reads_tables:
            raise Refused(
                "0A000",
                (
                    "Specified types or functions (one per INFO message) not supported on "
                    "Redshift tables."
                ),
                f'Function "{name}" not supported.',
            )
