"""The documentation of the dbt project's macros (`dbt/macros/_macros.yml`)."""

from __future__ import annotations

import re

import pytest

pytest.importorskip("dbt.adapters.duckdb", reason="runs in the dbt environment")

import yaml
from jinja2 import Environment, nodes

from include.settings import ROOT

MACROS = ROOT / "dbt" / "macros"

ENGINE = re.compile(r"(?:duckdb|redshift)__")

SENTENCES = re.compile(r"[A-Z`].*\.", re.DOTALL)


def written() -> dict[str, list[str]]:
    """The names of each macro's arguments, by macro."""
    jinja = Environment(extensions=["jinja2.ext.do"], autoescape=True)
    return {
        macro.name: [argument.name for argument in macro.args]
        for path in sorted(MACROS.rglob("*.sql"))
        for macro in jinja.parse(path.read_text()).find_all(nodes.Macro)
    }


def documented() -> dict[str, dict[str, str]]:
    """The descriptions of each macro (under the empty name) and of its arguments, by macro."""
    macros = yaml.safe_load((MACROS / "_macros.yml").read_text())["macros"]
    assert len({macro["name"] for macro in macros}) == len(macros)
    return {
        macro["name"]: {"": macro["description"]}
        | {argument["name"]: argument["description"] for argument in macro.get("arguments", ())}
        for macro in macros
    }


def test_each_macro_and_each_of_its_arguments_is_documented_and_nothing_else() -> None:
    macros = written()
    assert len(macros) > 40
    # An engine's variant of a macro is not called by name, unless it replaces a macro of dbt.
    called = {
        name: arguments
        for name, arguments in macros.items()
        if not ENGINE.match(name) or ENGINE.sub("", name) not in macros
    }
    assert {name: list(texts)[1:] for name, texts in documented().items()} == called


def test_each_description_of_a_macro_or_argument_is_a_sentence() -> None:
    assert [
        f"{macro}({argument}): {text}"
        for macro, texts in documented().items()
        for argument, text in texts.items()
        if not SENTENCES.fullmatch(text.strip())
    ] == []


def test_each_variant_of_a_macro_has_the_arguments_of_the_macro() -> None:
    macros = written()
    variants = {
        name: ENGINE.sub("", name)
        for name in macros
        if ENGINE.match(name) and ENGINE.sub("", name) in macros
    }
    assert len(variants) > 20
    assert [name for name, of in variants.items() if macros[name] != macros[of]] == []
