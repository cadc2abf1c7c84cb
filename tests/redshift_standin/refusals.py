"""What Redshift refuses although PostgreSQL would take it, with Redshift's message and SQLSTATE."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable

from sqlglot import exp
from sqlglot.optimizer.scope import Scope, traverse_scope
from sqlglot.tokenizer_core import Token, TokenType


class Refused(Exception):  # noqa: N818 - it is no error of the stand-in's
    """A statement that Redshift answers with an error."""

    def __init__(self, sqlstate: str, message: str, detail: str | None = None) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate
        self.message = message
        self.detail = detail


def syntax_error(near: str) -> Refused:
    return Refused("42601", f'syntax error at or near "{near}"')


def unsupported_here(what: str) -> Refused:
    """A limit of the stand-in's own, said as such: Redshift might take the statement."""
    return Refused("0A000", f"redshift stand-in: {what}")


# Redshift's documented functions, in the developer guide's order. What is in neither list is
# refused: a list of PostgreSQL's other functions would have a gap for every one that it forgets.
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

# They exist on the leader node alone: no statement that reads a user's table may call them.
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

# A name before "(" is no call after one of these: a column list, an alias with columns, a type.
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
    """`, name (column, ...) as (` goes on a WITH clause."""
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


TYPES_UNKNOWN = {
    exp.DType.JSON: "json",
    exp.DType.JSONB: "jsonb",
    exp.DType.UUID: "uuid",
    exp.DType.INET: "inet",
    exp.DType.TINYINT: "tinyint",
    exp.DType.XML: "xml",
    exp.DType.MONEY: "money",
    exp.DType.ARRAY: "array",
}

# What the documentation of window functions asks a frame for.
FRAMED = (
    exp.Avg,
    exp.Count,
    exp.Max,
    exp.Min,
    exp.Sum,
    exp.Stddev,
    exp.StddevPop,
    exp.StddevSamp,
    exp.Variance,
    exp.VariancePop,
    exp.LogicalAnd,
    exp.LogicalOr,
    exp.FirstValue,
    exp.LastValue,
    exp.NthValue,
)


def refuse_window(window: exp.Window) -> None:
    called = window.this
    if isinstance(called, (exp.IgnoreNulls, exp.RespectNulls)):
        called = called.this
    frame = window.args.get("spec")
    if isinstance(called, (exp.Lag, exp.Lead)) and not window.args.get("order"):
        raise Refused("42601", "LAG and LEAD need an ORDER BY clause")
    if isinstance(called, FRAMED) and window.args.get("order") and not frame:
        raise Refused(
            "0A000",
            "Aggregate window functions with an ORDER BY clause require a frame clause",
        )
    kind = str(frame.args.get("kind")).upper() if frame else "ROWS"
    if kind != "ROWS":
        raise Refused("0A000", f"window function with {kind} frame is not supported")
    if isinstance(called, (exp.Count, exp.Sum, exp.Avg)) and isinstance(called.this, exp.Distinct):
        raise Refused("0A000", "DISTINCT is not implemented for window functions")
    if frame and isinstance(
        called, (exp.RowNumber, exp.Rank, exp.DenseRank, exp.Lag, exp.Lead, exp.Ntile)
    ):
        raise syntax_error("rows")


LOOKAROUND = re.compile(r"\(\?(=|!|<=|<!|:)")


def refuse_pattern(pattern: exp.Expr | None) -> None:
    """A POSIX pattern knows no look-around, no lazy quantifier and no non-capturing group."""
    if isinstance(pattern, exp.Literal) and LOOKAROUND.search(pattern.name):
        raise Refused(
            "XX000",
            "Invalid preceding regular expression prior to repetition operator.",
            f"The error occurred while parsing the regular expression '{pattern.name}'.",
        )


def refuse_node(node: exp.Expr) -> None:  # noqa: C901, PLR0912 - a list of rules
    if isinstance(node, exp.Window):
        refuse_window(node)
    elif isinstance(node, exp.Distinct) and node.args.get("on"):
        raise Refused("0A000", "SELECT DISTINCT ON is not supported")
    elif isinstance(node, exp.Filter):
        raise syntax_error("FILTER")
    elif isinstance(node, exp.Lateral):
        raise syntax_error("LATERAL")
    elif isinstance(node, exp.Returning):
        raise syntax_error("RETURNING")
    elif isinstance(node, exp.OnConflict):
        raise syntax_error("ON")
    elif isinstance(node, exp.TableSample):
        raise syntax_error("TABLESAMPLE")
    elif isinstance(node, exp.Lock):
        raise Refused("0A000", "SELECT FOR UPDATE/SHARE is not supported")
    elif isinstance(node, exp.Fetch):
        raise syntax_error("FETCH")
    elif isinstance(node, exp.Values) and isinstance(
        node.parent, (exp.From, exp.Join, exp.Subquery)
    ):
        raise syntax_error("values")
    elif isinstance(node, exp.DataType):
        refuse_type(node)
    elif isinstance(node, (exp.RegexpLike, exp.RegexpILike)):
        refuse_pattern(node.expression)
    elif isinstance(node, (exp.RegexpReplace, exp.RegexpExtract)):
        parameters = node.args.get("modifiers") or node.args.get("parameters")
        if not (parameters and "p" in parameters.name):
            refuse_pattern(node.expression)
    elif isinstance(node, (exp.NullSafeEQ, exp.NullSafeNEQ)):
        raise syntax_error("distinct")
    elif isinstance(node, exp.Array) and node.args.get("bracket_notation"):
        raise syntax_error("[")
    elif isinstance(node, exp.With) and node.args.get("recursive"):
        refuse_recursion(node)
    elif isinstance(node, exp.Insert):
        refuse_rows(node)
    elif isinstance(node, exp.Select):
        refuse_select(node)
    elif isinstance(node, exp.JSONExtract) and node.args.get("only_json_types"):
        # json_extract_path_text() is a function; -> and ->> are PostgreSQL's.
        raise syntax_error("->")


def refuse_recursion(clause: exp.With) -> None:
    for cte in clause.expressions:
        name = cte.alias.lower()
        if not any(table.name.lower() == name for table in cte.this.find_all(exp.Table)):
            continue
        if not cte.alias_column_names:
            raise Refused("42601", f'recursive common table expression "{name}" names no columns')
        if not isinstance(cte.this, exp.Union) or cte.this.args.get("distinct"):
            raise Refused("42601", f'recursive common table expression "{name}" needs UNION ALL')


def refuse_rows(insert: exp.Insert) -> None:
    rows = insert.expression
    if isinstance(rows, exp.Values) and len(rows.expressions) > 1 and rows.find(exp.Select):
        raise Refused("0A000", "a subquery is not supported in a multi-row VALUES list")


ORDERED_SETS = (exp.GroupConcat, exp.PercentileCont, exp.PercentileDisc)


def refuse_select(select: exp.Select) -> None:
    own = [node for node in select.walk() if node.parent_select is select]
    if not select.args.get("from_") and any(
        isinstance(node, (exp.Median, *ORDERED_SETS)) for node in own
    ):
        raise Refused(
            "0A000", "LISTAGG, MEDIAN and PERCENTILE functions need a table that users made"
        )
    for kinds in ((exp.GroupConcat,), (exp.PercentileCont, exp.PercentileDisc)):
        orders = {
            node.expression.sql().lower()
            for node in own
            if isinstance(node, exp.WithinGroup)
            and isinstance(node.this, kinds)
            and not isinstance(node.parent, exp.Window)
        }
        if len(orders) > 1:
            raise Refused(
                "0A000", "within group ORDER BY clauses for aggregate functions must be the same"
            )
    # QUALIFY may follow FROM at once only if what is read has an alias.
    clauses = ("where", "group", "having")
    if select.args.get("qualify") and not any(select.args.get(clause) for clause in clauses):
        joins = select.args.get("joins")
        last = joins[-1].this if joins else select.args["from_"].this
        if isinstance(last, exp.Table) and not last.alias:
            raise syntax_error("qualify")


def refuse_type(node: exp.DataType) -> None:
    kind = node.this
    if kind in TYPES_UNKNOWN:
        raise Refused("42704", f'type "{TYPES_UNKNOWN[kind]}" does not exist')
    sizes = [int(size.name) for size in node.expressions if size.name.isdigit()]
    if kind is exp.DType.DECIMAL and sizes and sizes[0] > 38:
        raise Refused("42611", f"DECIMAL precision {sizes[0]} must be between 1 and 38")
    if kind is exp.DType.DECIMAL and len(sizes) > 1 and sizes[1] > sizes[0]:
        raise Refused(
            "42611", f"DECIMAL scale {sizes[1]} must be between 0 and precision {sizes[0]}"
        )
    if kind is exp.DType.VARCHAR and sizes and sizes[0] > 65535:
        raise Refused("42611", "length for type varchar cannot exceed 65535")
    if kind is exp.DType.CHAR and sizes and sizes[0] > 4096:
        raise Refused("42611", "length for type bpchar cannot exceed 4096")


CORRELATED = "This type of correlated subquery pattern is not supported due to internal error"


def refuse_correlations(tree: exp.Expr) -> None:
    """The documented patterns that Redshift cannot turn into joins, as far as qualified columns
    show them.
    """
    refuse_groups_by_correlation(tree)
    if not isinstance(tree, exp.Query) or not any(
        subquery.find_ancestor(exp.Where, exp.Having, exp.Join)
        or isinstance(subquery.parent, exp.Exists)
        for subquery in tree.find_all(exp.Subquery, exp.Exists)
    ):
        return
    for scope in traverse_scope(tree):
        if not scope.is_subquery or scope.parent is None:
            continue
        outer = {column.table for column in scope.external_columns if column.table}
        if not outer:
            continue
        if outer - _names_in(scope.parent):
            raise Refused("0A000", CORRELATED, "The correlation skips a query block.")
        join = scope.expression.find_ancestor(exp.Join)
        if join and join.side and scope.expression.find_ancestor(exp.Select) is join.parent:
            raise Refused(
                "0A000", CORRELATED, "The correlation is in the ON clause of an outer join."
            )
        query = scope.expression
        selects = query.selects if isinstance(query, exp.Query) else []
        if any(projection.find(exp.Window) for projection in selects):
            raise Refused("0A000", CORRELATED, "The correlated subquery has a window function.")
        if scope.expression.args.get("limit"):
            raise Refused("0A000", CORRELATED, "The correlated subquery has a LIMIT.")


def refuse_groups_by_correlation(tree: exp.Expr) -> None:
    """GROUP BY the result of a correlated subquery, by its alias or place."""
    for select in tree.find_all(exp.Select):
        group = select.args.get("group")
        if not group:
            continue
        keys = {key.name.lower() for key in group.expressions}
        for place, projection in enumerate(select.selects, 1):
            subquery = projection.find(exp.Subquery)
            if not subquery or not keys & {projection.alias.lower(), str(place)}:
                continue
            inner = {table.alias_or_name for table in subquery.find_all(exp.Table)}
            if any(c.table and c.table not in inner for c in subquery.find_all(exp.Column)):
                raise Refused("0A000", CORRELATED, "GROUP BY its result.")


def _names_in(scope: Scope) -> set[str]:
    return {str(name) for name in scope.sources}


def refuse_tree(tree: exp.Expr) -> None:
    for node in tree.walk():
        refuse_node(node)
    refuse_correlations(tree)
