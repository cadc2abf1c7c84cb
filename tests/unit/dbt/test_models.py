"""dbt's unit tests pass, and each model that calculates has some (`*.unit_tests.yml` beside it)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip("dbt.adapters.duckdb", reason="runs in the dbt environment")


from include.settings import ROOT
from tests.pipeline.warehouse import WITHOUT_TESTS, Warehouse

MODELS = ROOT / "dbt" / "models"

ARITHMETIC = re.compile(r"\b(?:avg|case|coalesce|count|lag|lead|max|min|over|sum|union)\b|[-+/|]")
"""SQL that needs a unit test. A model with only casts, trims and joins needs none."""

TEMPLATE = re.compile(r"\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}", re.DOTALL)


def written() -> dict[str, set[str]]:
    """Return the names of the unit tests by model, as the YAML files contain them."""
    tests: dict[str, set[str]] = {}
    for path in MODELS.rglob("*.unit_tests.yml"):
        model = path.name.removesuffix(".unit_tests.yml")
        found = re.findall(
            r"^  - name: (\w+)(?:.*\n(?!  - ))*?    model: (\w+)", path.read_text(), re.M
        )
        assert {of for _, of in found} == {model}, path
        tests[model] = {name for name, _ in found}
    return tests


def test_every_unit_test_of_dbt_passes(tmp_path: Path) -> None:
    (tmp_path / "lake").mkdir()
    warehouse = Warehouse(tmp_path / "lake", tmp_path)
    warehouse.find()
    assert warehouse.dbt("--empty", *WITHOUT_TESTS) == {}
    assert warehouse.unit_tests() == {
        f"{model}.{name}": "pass" for model, names in written().items() for name in names
    }


def test_the_table_of_each_unit_test_keeps_its_whole_name() -> None:
    """A longer name is cut on the stand-in for Redshift, and dbt then finds no columns."""
    # dbt-redshift appends `__dbt_tmp` and twelve digits to the name of the unit test.
    longest = 63 - len("__dbt_tmp") - 12
    assert [name for names in written().values() for name in names if len(name) > longest] == []


def test_every_model_that_calculates_has_unit_tests() -> None:
    calculating = {
        path.stem
        for path in MODELS.rglob("*.sql")
        if ARITHMETIC.search(TEMPLATE.sub("", path.read_text()))
    }
    assert len(calculating) > 20
    assert calculating - set(written()) == set()
