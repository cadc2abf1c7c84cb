"""The SQL of the project's generic data tests (`dbt/tests/generic`)."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest

pytest.importorskip("dbt.adapters.duckdb", reason="runs in the dbt environment")

import jinja2

from include.settings import ROOT

GENERIC = ROOT / "dbt" / "tests" / "generic"

NODE = SimpleNamespace(
    name="fct_bets",
    columns={"bet_date": {}, "player_id": {}, "turnover": {}},
    patch_path="game_analytics://models/marts/fct_bets.yml",
)


class CompilerError(Exception):
    """Stands for the error that dbt raises."""


def _raise(message: str) -> None:
    raise CompilerError(message)


def _sql(test: str, *, execute: bool = True, **arguments: list[str]) -> str:
    """The SQL of a generic test of the model `fct_bets`, on one line."""
    text = (GENERIC / f"{test}.sql").read_text()
    # Jinja has no tag `test`; dbt makes a macro of it.
    text = re.sub(rf"{{% test {test}\b", f"{{% macro {test}", text).replace("endtest", "endmacro")
    call = f"{{{{ {test}(model='marts.fct_bets', **arguments) }}}}"
    template = jinja2.Template(text + call, extensions=["jinja2.ext.do"])
    rendered = template.render(
        execute=execute,
        arguments=arguments,
        context={"model": SimpleNamespace(attached_node="model.game_analytics.fct_bets")},
        graph=SimpleNamespace(nodes={"model.game_analytics.fct_bets": NODE} if execute else {}),
        exceptions=SimpleNamespace(raise_compiler_error=_raise),
    )
    return " ".join(rendered.split())


def test_never_null_checks_every_declared_column() -> None:
    assert _sql("never_null") == (
        "select * from marts.fct_bets"
        " where bet_date is null or player_id is null or turnover is null"
    )


def test_never_null_leaves_out_nullable_columns() -> None:
    assert _sql("never_null", nullable=["turnover", "player_id"]) == (
        "select * from marts.fct_bets where bet_date is null"
    )


def test_never_null_renders_while_dbt_parses() -> None:
    assert _sql("never_null", execute=False, nullable=["turnover"]) == (
        "select * from marts.fct_bets where false"
    )


@pytest.mark.parametrize(
    ("nullable", "message"),
    [
        (
            ["turnover", "turnovr"],
            r"fct_bets lists as nullable turnovr, which.*dbt/models/marts/fct_bets\.yml$",
        ),
        (["bet_date", "player_id", "turnover"], r"never_null of fct_bets has no column to check: "),
    ],
)
def test_never_null_refuses_a_wrong_list(nullable: list[str], message: str) -> None:
    with pytest.raises(CompilerError, match=message):
        _sql("never_null", nullable=nullable)


def test_unique_combination_of_columns_finds_repeated_rows() -> None:
    assert _sql("unique_combination_of_columns", combination_of_columns=["a", "b"]) == (
        "select a, b, count(*) as row_count from marts.fct_bets group by a, b having count(*) > 1"
    )
