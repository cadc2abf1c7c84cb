"""Every setting, command, path and link in a README exists."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from include.deployment.mwaa.package import sources
from include.settings import PREFIX, ROOT, Settings

README = ROOT / "README.md"
DOCUMENTS = {
    path.relative_to(ROOT).as_posix(): path
    for path in [
        README,
        ROOT / "dags" / "README.md",
        ROOT / "findings" / "README.md",
        ROOT / "include" / "README.md",
        *sorted((ROOT / "include" / "aws").glob("*.md")),
        ROOT / "tests" / "README.md",
        ROOT / "tests" / "benchmarks" / "README.md",
    ]
}
TEXTS = {name: path.read_text() for name, path in DOCUMENTS.items()}
MAKEFILE = (ROOT / "Makefile").read_text()
FENCED = r"^ *```\n(.*?)^ *```$"
LINK = r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)"
TOPS = ("dags/", "dbt/", "include/", "plugins/", "tests/", "LICENSE")

each_document = pytest.mark.parametrize("name", DOCUMENTS)


def _fenced(text: str) -> str:
    return "\n".join(re.findall(FENCED, text, re.MULTILINE | re.DOTALL))


def _prose(text: str) -> str:
    return re.sub(FENCED, "", text, flags=re.MULTILINE | re.DOTALL)


def _code(text: str) -> list[str]:
    return re.findall(r"`([^`\n]+)`", _prose(text))


def _anchors(path: Path) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", _prose(path.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(
    "path", [*DOCUMENTS.values(), ROOT / "include/lake/__main__.py"], ids=lambda path: path.name
)
def test_a_copy_of_a_lake_leaves_out_what_belongs_to_one_machine(path: Path) -> None:
    """`_landing`, `_compacted` and `_compaction` hold notes and originals with personal data."""
    text = re.sub(r'"\n +f?"|\s+', " ", path.read_text().replace("'", '"'))
    for command in re.findall(r"aws s3 sync [^`]*", text):
        assert 'exclude "_*"' in command, command
        assert 'exclude "ledger_rows/*"' in command, command


def test_the_table_of_settings_is_complete_with_their_defaults() -> None:
    rows = re.findall(
        rf"^\| `{PREFIX}([A-Z_]+)` \| (?:`([^`]*)`)? ?\|", TEXTS["README.md"], re.MULTILINE
    )
    assert dict(rows) == {field.name.upper(): field.default for field in fields(Settings)}


@each_document
def test_every_setting_exists(name: str) -> None:
    named = set(re.findall(rf"\b{PREFIX}([A-Z_]+)", TEXTS[name]))
    assert named <= {field.name.upper() for field in fields(Settings)}


@each_document
def test_every_command_is_a_target_of_the_makefile(name: str) -> None:
    code = "\n".join([*_code(TEXTS[name]), _fenced(TEXTS[name])])
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z-]+)\b", code)) <= targets


def test_the_table_of_commands_is_complete() -> None:
    rows = re.findall(r"^\| (`make [^|]+) \|", TEXTS["include/README.md"], re.MULTILINE)
    named = set(re.findall(r"`make ([a-z-]+)\b", "\n".join(rows)))
    assert named == set(re.findall(r"^([a-z-]+):.*## ", MAKEFILE, re.MULTILINE))


def test_every_command_of_the_makefile_has_a_help_text() -> None:
    named = set(" ".join(re.findall(r"^\.PHONY: (.+)$", MAKEFILE, re.MULTILINE)).split())
    helped = set(re.findall(r"^([a-z-]+):.*## ", MAKEFILE, re.MULTILINE))
    assert named - helped == {"install-dev"}


def test_every_mart_is_in_the_table_of_marts() -> None:
    section = TEXTS["README.md"].partition("\n## The marts\n")[2].partition("\n## ")[0]
    rows = "\n".join(re.findall(r"^\| (`[^|]+) \|", section, re.MULTILINE))
    models = (ROOT / "dbt" / "models" / "marts").rglob("*.sql")
    assert set(re.findall(r"`(\w+)`", rows)) == {path.stem for path in models}


@each_document
def test_every_path_exists(name: str) -> None:
    paths = [text for text in _code(TEXTS[name]) if text.startswith(TOPS)]
    paths += [
        word.removeprefix("file://")
        for word in _fenced(TEXTS[name]).split()
        if word.startswith(TOPS) and "$" not in word
    ]
    assert [path for path in paths if not (ROOT / path).exists()] == []


@each_document
def test_every_link_leads_somewhere(name: str) -> None:
    links = [link for link in re.findall(LINK, _prose(TEXTS[name])) if "://" not in link]
    lost = []
    for link in links:
        file, _, anchor = link.partition("#")
        path = (DOCUMENTS[name].parent / file).resolve() if file else DOCUMENTS[name]
        if not path.exists() or (anchor and anchor not in _anchors(path)):
            lost.append(link)
    assert lost == []


def test_every_document_is_linked_and_stays_in_a_checkout() -> None:
    links = {
        (DOCUMENTS[name].parent / link.partition("#")[0]).resolve()
        for name in ("README.md", "include/aws/README.md")
        for link in re.findall(LINK, TEXTS[name])
    }
    assert {path for name, path in DOCUMENTS.items() if name != "README.md"} <= links
    shipped = {(ROOT / path).resolve() for path in sources()}
    assert shipped.isdisjoint(DOCUMENTS.values())
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert {"**/README.md", "include/aws/*.md"} <= set(ignored)


def test_documents_are_short_enough_to_be_read() -> None:
    assert len(TEXTS["README.md"].splitlines()) <= 150
    long = [
        f"{name}:{number}"
        for name, text in TEXTS.items()
        for number, line in enumerate(text.splitlines(), 1)
        if len(line) > 120
    ]
    assert long == []
