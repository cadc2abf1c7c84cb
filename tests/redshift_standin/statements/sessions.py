"""Rules for transactions, settings of a session, and SHOW."""

from __future__ import annotations

import re

from tests.redshift_standin.refusals import Refused, unsupported_here
from tests.redshift_standin.sql_text import literal, parts_of
from tests.redshift_standin.statements.rules import Rules, Statement, as_is, nothing

rules = Rules()


@rules.add(
    r"(?:begin|start\s+transaction)(?:\s+(?:work|"
    r"transaction))?(?:\s+isolation\s+level\s+(?:serializable|repeatable\s+read|"
    r"read\s+committed|read\s+uncommitted))?(?P<access>\s*,?\s*read\s+(?:write|only))?"
)
def begin(match: re.Match[str]) -> Statement:
    # Every isolation level is replaced by read committed, because a statement must see the rows
    # that the loader of external tables commits.
    return Statement("UTILITY", lambda _: "begin" + (match["access"] or "").replace(",", " "))


@rules.add(r"(?P<verb>commit|end|rollback|abort)(?:\s+(?:work|transaction))?")
def end(match: re.Match[str]) -> Statement:
    return as_is("UTILITY", match["verb"])


@rules.add(r"savepoint\b.*", r"rollback\s+to\b.*", r"release\b.*")
def savepoint(_: re.Match[str]) -> Statement:
    raise Refused("0A000", "SAVEPOINT is not supported")


@rules.add(r"set\s+(?:session\s+)?query_group\s*(?:to|=)\s*(?P<value>'(?:[^']|'')*'|PART)")
def set_query_group(match: re.Match[str]) -> Statement:
    value = match["value"].strip("'").replace("''", "'")
    return as_is(
        "UTILITY",
        f"set standin.query_group to {literal(value)}",
        sets_query_group=value,
    )


@rules.add(r"reset\s+(?P<name>query_group|all)")
def reset_query_group(match: re.Match[str]) -> Statement:
    name = "all" if match["name"].lower() == "all" else "standin.query_group"
    return as_is("UTILITY", f"reset {name}", sets_query_group="")


@rules.add(
    r"set\s+(?:session\s+)?search_path\s*(?:to|=)\s*.*",
    r"set\s+(?:local\s+|session\s+)?(?:statement_timeout|datestyle|timezone|time\s+zone|"
    r"client_encoding|application_name)\s*(?:to\s+|=\s*|\s+).*",
    r"set\s+session\s+authorization\s+.*",
    r"reset\s+(?:statement_timeout|search_path|datestyle|timezone|application_name)",
    r"(?:discard|deallocate)\s+all",
    r"show\s+(?:search_path|statement_timeout|datestyle|timezone|time\s+zone|server_version|"
    r"client_encoding|application_name|is_superuser|session_authorization|server_encoding|"
    r"standard_conforming_strings)",
)
def known_setting(match: re.Match[str]) -> Statement:
    """Pass on a setting that PostgreSQL has too."""
    return as_is("UTILITY", match[0])


@rules.add(
    r"(?P<verb>set)\s+(?P<name>wlm_query_slot_count|enable_result_cache_for_session|"
    r"enable_case_sensitive_identifier|describe_field_name_in_uppercase|"
    r"enable_\w+|describe_\w+|spectrum_\w+|mv_\w+|analyze_threshold_percent|"
    r"extra_float_digits|json_parse_\w+|cast_super_null_on_error|"
    r"error_on_nondeterministic_update|downcast_delimited_varchar_to_varbyte|max_\w+|"
    r"navigate_super_null_on_error|query_group_\w+|activate_aqua|use_fips_ssl)\b.*",
    r"(?P<verb>reset)\s+(?P<name>use|wlm\w+|enable_\w+|describe_\w+|spectrum_\w+|"
    r"extra_float_digits)",
    r"(?P<verb>use)\s+(?P<name>\S+)",
)
def other_setting(match: re.Match[str]) -> Statement:
    """Accept a setting that PostgreSQL does not have. Only enable_numeric_rounding has an effect.

    Raises Refused if the setting would make names case-sensitive.
    """
    on = re.search(r"(?:to|=)\s*'?(on|true|1)\b", match[0], re.IGNORECASE)
    if on and "case_sensitive" in match[0].lower():
        raise unsupported_here("enable_case_sensitive_identifier")
    if match["name"].lower() == "enable_numeric_rounding":
        value = "on" if on else "off"
        return as_is("UTILITY", f"set standin.enable_numeric_rounding to {value}", "SET")
    return nothing("UTILITY", match["verb"].upper())


@rules.add(r"show\s+query_group")
def show_query_group(_: re.Match[str]) -> Statement:
    return as_is(
        "UTILITY",
        "select coalesce(nullif(current_setting('standin.query_group', true), ''), 'unset') "
        "as query_group",
    )


def _shown(function: str, *names: str | None) -> Statement:
    listed = ", ".join("null" if name is None else literal(name.strip("'")) for name in names)
    return as_is("UTILITY", f"select * from standin.{function}({listed})")


@rules.add(
    r"show\s+tables\s+from\s+schema\s+(?P<name>NAME)(?:\s+like\s+'[^']*')?(?:\s+limit\s+\d+)?"
)
def show_tables(match: re.Match[str]) -> Statement:
    return _shown("show_tables", parts_of(match["name"])[-1])


@rules.add(
    r"show\s+(?P<what>columns|grants)\s+(?:from|on)\s+table\s+(?P<name>NAME)(?:\s+limit\s+\d+)?"
)
def show_columns(match: re.Match[str]) -> Statement:
    return _shown(f"show_{match['what'].lower()}", *parts_of(match["name"])[-2:])


@rules.add(
    r"show\s+schemas\s+from\s+database\s+PART(?:\s+like\s+(?P<pattern>'[^']*'))?(?:\s+limit\s+\d+)?"
)
def show_schemas(match: re.Match[str]) -> Statement:
    return _shown("show_schemas", match["pattern"])


@rules.add(r"cancel\s+(?P<pid>\d+)(?:\s+'[^']*')?")
def cancel(match: re.Match[str]) -> Statement:
    return as_is(
        "UTILITY",
        f"do $standin$ begin perform pg_cancel_backend({match['pid']}); end $standin$",
        "CANCEL",
    )
