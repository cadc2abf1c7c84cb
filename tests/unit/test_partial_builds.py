"""No way to build reads a part of its inputs only."""

from __future__ import annotations

from pathlib import Path

import pytest

from include.partial_builds import (
    OPTIONS,
    VARIABLES,
    engine_name,
    refuse_options,
    refuse_variables,
)
from include.settings import UserError


@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_that_leaves_rows_out_is_named(option: str) -> None:
    for words in (["build", option], ["build", f"{option}=x"]):
        with pytest.raises(UserError, match=f"^{option} reads none .*: build without it"):
            refuse_options(words)


def test_other_options_are_accepted() -> None:
    refuse_options(["build", "--no-empty", "--select", "a", "--exclude", "b", "--full-refresh"])


@pytest.mark.parametrize("variable", VARIABLES)
def test_a_variable_with_the_effect_of_such_an_option_is_named(variable: str) -> None:
    for name in (variable, variable.replace("DBT_", "DBT_ENGINE_")):
        with pytest.raises(UserError, match=f"the variable {name} is set, .*: unset it"):
            refuse_variables({name: "1"})
        refuse_variables({name: " False "})


def test_each_variable_is_one_that_dbt_reads() -> None:
    params = pytest.importorskip("dbt.cli.params", reason="runs in dbt's environment")
    text = Path(params.__file__).read_text(encoding="utf-8")
    assert [variable for variable in VARIABLES if f'"{variable}"' not in text] == []
    preferred = {variable.name for variable in params.KNOWN_ENV_VARS}
    assert {engine_name(variable) for variable in VARIABLES} <= preferred
    assert [option for option in OPTIONS if f'"{option}' not in text] == []
