"""The README tells the truth: every setting, command and path in it exists."""

from __future__ import annotations

import re
from dataclasses import fields

from include.settings import PREFIX, ROOT, Settings

README = (ROOT / "README.md").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()
CODE = re.findall(r"`([^`\n]+)`", README)


def test_the_table_of_settings_is_complete_with_their_defaults() -> None:
    rows = re.findall(rf"^\| `{PREFIX}([A-Z_]+)` \| (?:`([^`]*)`)? ?\|", README, re.MULTILINE)
    assert dict(rows) == {field.name.upper(): field.default for field in fields(Settings)}


def test_every_command_is_a_target_of_the_makefile() -> None:
    commands = set(
        re.findall(r"\bmake ([a-z-]+)\b", "\n".join([*CODE, *README.split("```")[1::2]]))
    )
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
    assert {"run", "test", "land", "build", "bench"} <= commands
    assert commands <= targets


def test_every_command_of_the_makefile_has_a_help_text() -> None:
    named = set(" ".join(re.findall(r"^\.PHONY: (.+)$", MAKEFILE, re.MULTILINE)).split())
    helped = set(re.findall(r"^([a-z-]+):.*## ", MAKEFILE, re.MULTILINE))
    assert named - helped == {"install-dev"}


def test_every_path_exists() -> None:
    tops = ("dags/", "dbt/", "include/", "plugins/", "tests/", "LICENSE")
    paths = [text for text in CODE if text.startswith(tops)]
    assert len(paths) > 10
    assert [path for path in paths if not (ROOT / path).exists()] == []
