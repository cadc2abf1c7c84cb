"""The catalog's pages: results, sizes, personal data and the last runs of each asset."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import msgspec
import pytest

pytest.importorskip("dbt.cli", reason="runs in dbt's environment")

import duckdb

from include.manifest import MANIFEST
from include.object_store import DocumentsInFolder
from include.settings import Settings, UserError
from include.site.assets import Asset
from include.site.catalog import catalog, project_lineage, write_catalog
from include.site.catalog.enforcement import Protection
from include.site.catalog.entries import Entry, layer
from include.site.catalog.project_lineage import NOT_COMPILED
from include.site.catalog.rules import Expirations, Mask, Rules
from include.site.catalog.sizes import Size
from include.site.lineage import Column, ColumnLineage, Edge, Kind, Unresolved
from include.site.lineage.cache import NodeLineage
from include.site.lineage.personal_data import Mark, PersonalData
from include.site.lineage.templates import NO_FORMS
from include.site.runs import Run

PURCHASES = "model.game_analytics.fct_purchases"
HOSTILE = "<script>alert(1)</script>\"'../../x"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    warehouse = tmp_path / "warehouse.duckdb"
    with duckdb.connect(str(warehouse)) as connection:
        connection.execute("create schema marts")
        connection.execute("create table marts.fct_purchases as select * from range(1234)")
        connection.execute("create schema operations")
        connection.execute(
            "create table operations.listed_partitions as select * from (values"
            " ('raw_events', 2, 1500, timestamp '2026-11-29 10:00:00'),"
            " ('raw_events', 1, 500, timestamp '2026-11-30 09:00:00'))"
            " as listed (source, object_count, byte_count, changed_at)"
        )
    docs = str(tmp_path / "docs")
    return replace(Settings(), duckdb=str(warehouse), docs=docs)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a publication with the artifacts of a run."""
    folder = tmp_path / "publication"
    folder.mkdir()
    results = [
        {
            **{"unique_id": PURCHASES, "status": "success", "execution_time": 1.5},
            "adapter_response": {"rows_affected": 7},
        },
        {
            "unique_id": next(
                node["unique_id"]
                for node in json.loads(MANIFEST.read_text())["nodes"].values()
                if node["name"] == "fct_purchases__never_null"
            ),
            **{"status": "fail", "execution_time": 0.25, "message": HOSTILE},
        },
    ]
    raw = "source.game_analytics.game_events.raw_events"
    files: dict[str, Any] = {
        "run.json": {"run_id": HOSTILE, "published_at": "2026-11-30T10:00:00+00:00"},
        "run_results.json": {"results": results},
        "sources.json": {"results": [{"unique_id": raw, "status": "warn"}]},
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))
    manifest = json.loads(MANIFEST.read_text())
    manifest["nodes"][PURCHASES]["description"] = f"{HOSTILE} One row per `key`."
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


@pytest.fixture(autouse=True)
def _without_compilation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Column lineage has tests of its own, and compiling takes seconds."""

    def refuse(_: Settings) -> dict[str, Any]:
        raise UserError("a model does not compile")

    monkeypatch.setattr(project_lineage, "compiled_manifest", refuse)


def page_of(folder: Path, unique_id: str) -> str:
    return (folder / "catalog" / f"{unique_id}.html").read_text()


def fact(page: str, title: str) -> str:
    """The text of a fact, without markup."""
    found = re.search(rf"<dt>{title}</dt><dd>(.*?)</dd>", page, re.DOTALL)
    assert found, title
    return " ".join(re.sub(r"<[^>]+>", "", found[1]).split())


def test_a_page_shows_results_sizes_owner_and_file(settings: Settings, folder: Path) -> None:
    assert write_catalog(settings, folder) == [NOT_COMPILED]
    page = page_of(folder, PURCHASES)
    assert fact(page, "Rows") == "1,234"
    assert fact(page, "Built in") == "1.5 s"
    assert fact(page, "Owner") == "Monetisation, monetisation@example.com"
    assert fact(page, "File to edit") == "dbt/models/marts/revenue/fct_purchases.sql"
    assert '<span class="status fail">fail</span>' in page
    events = page_of(folder, "folder.source.game_analytics.game_events.raw_events")
    assert (fact(events, "Files"), fact(events, "Size")) == ("3", "2.0 kB")
    assert fact(events, "Last change of a file") == "2026-11-30 09:00 UTC"
    table = page_of(folder, "source.game_analytics.game_events.raw_events")
    assert fact(table, "Freshness") == "warn; warn after 2 days; error after 4 days"


def test_hostile_text_stays_text(settings: Settings, folder: Path) -> None:
    write_catalog(settings, folder)
    for path in folder.rglob("*.html"):
        page = path.read_text()
        assert "<script>alert" not in page, path
    page = page_of(folder, PURCHASES)
    assert fact(page, "Grain") == "One row per `key`."
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 2
    assert "One row per <code>key</code>." in page


def test_a_link_of_a_page_leads_to_a_page(settings: Settings, folder: Path) -> None:
    write_catalog(settings, folder)
    pages = [folder / "catalog.html", *(folder / "catalog").iterdir()]
    assert len(pages) > 60
    for path in pages:
        for link in re.findall(r'href="([^"#:]+)(?:#[^"]*)?"', path.read_text()):
            # Publishing writes the page of the run.
            if not link.endswith("index.html"):
                assert (path.parent / link).is_file(), (path, link)


def test_without_a_warehouse_the_pages_have_no_sizes(
    settings: Settings, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(settings.duckdb).unlink()
    notes = write_catalog(settings, folder)
    assert [note.partition(" could not")[0] for note in notes] == [
        "the sizes of the tables",
        "the sizes of the folders",
        NOT_COMPILED,
    ]
    assert "<dt>Rows</dt>" not in page_of(folder, PURCHASES)
    printed = capsys.readouterr().out
    assert "warning: the catalog shows no sizes of tables: " in printed
    assert "warning: a model does not compile" in printed


def test_the_chart_has_the_last_runs(settings: Settings, folder: Path) -> None:
    """The outcomes of each run are in its own publication; a damaged file hides only that run."""
    documents = DocumentsInFolder(Path(settings.docs))
    for number in range(40):
        day = f"2026-10-{number + 1:02}" if number < 30 else f"2026-11-{number - 29:02}"
        run = Run(f"r{number}", "success", "site/a", day, f"{day}T00:00:00+00:00", 1, f"r{number}")
        content = {PURCHASES: ["success", number / 10]} if number != 38 else ["damaged"]
        documents.write(f"runs/r{number}/site/a/outcomes.json", json.dumps(content).encode())
        described = {**vars(run), "pages": [], "missing": [], "notes": []}
        documents.write(f"runs/r{number}/run.json", json.dumps(described).encode())
    write_catalog(settings, folder)
    page = page_of(folder, PURCHASES)
    titles = re.findall(
        r'<rect class="(\w+)"[^>]*height="([\d.]+)"[^>]*><title>(.*?)</title>', page
    )
    assert len(titles) == 30
    assert titles[0] == ("success", "11.3", "r11: success, 1.10 s")
    assert titles[-3] == ("none", "3", "r38: not built")
    assert titles[-2] == ("success", "40.0", "r39: success, 3.90 s")
    assert titles[-1][0] == "fail"
    own = json.loads((folder / "outcomes.json").read_text())
    assert own == {PURCHASES: ["fail", 1.5]}


def test_an_unchanged_project_is_not_compiled_again(
    settings: Settings, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each publication takes over the lineage of the latest one, unless something has changed."""
    compiled = []

    def compile_project(_: Settings) -> dict[str, Any]:
        compiled.append("compiled")
        return manifest("models are not compiled")

    def manifest(note: str) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
        return content | {"note": note}

    monkeypatch.setattr(project_lineage, "compiled_manifest", compile_project)
    monkeypatch.setattr(project_lineage, "forms", lambda *_: NO_FORMS)
    documents = DocumentsInFolder(Path(settings.docs))

    def publish(settings: Settings) -> str:
        write_catalog(settings, folder)
        for name in ("lineage.json", "lineage.key"):
            documents.write(f"runs/r/site/a/{name}", (folder / name).read_bytes())
        documents.write("index.html", b'<meta name="latest" content="runs/r/site/a">')
        shutil.rmtree(folder / "catalog")
        return (folder / "lineage.html").read_text()

    first = publish(settings)
    assert publish(settings) == first
    assert len(compiled) == 1
    assert publish(settings) == first
    publish(replace(settings, reporting_currency="EUR"))
    assert len(compiled) == 2
    monkeypatch.setattr(project_lineage, "fingerprint", lambda: "another project")
    publish(settings)
    assert len(compiled) == 3
    monkeypatch.setattr(project_lineage, "code_hash", lambda: "other code")
    publish(settings)
    assert len(compiled) == 4


def test_marks_stay_while_the_project_does_not_compile(
    settings: Settings, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lineage of the publication before is shown, and the next one compiles again."""
    player = Column("source.game_analytics.game_events.raw_events", "event_id")
    target = Column(PURCHASES, "player_id")
    edge = Edge(player, "", target, Kind.VALUE, ())
    node = NodeLineage("key", ("player_id",), (edge,), ())
    documents = DocumentsInFolder(Path(settings.docs))
    documents.write("index.html", b'<meta name="latest" content="runs/r/site/a">')
    documents.write("runs/r/site/a/lineage.json", msgspec.json.encode({PURCHASES: node}))
    found = PersonalData({target: Mark.IDENTIFIER}, [], [], [])
    monkeypatch.setattr(project_lineage, "personal_data", lambda *_: found)
    assert write_catalog(settings, folder) == [NOT_COMPILED]
    page = page_of(folder, PURCHASES)
    assert '<span class="mark identifier">identifier</span>' in page
    assert "raw_events.event_id" in page
    assert (folder / "lineage.key").read_text() == ""


def test_lineage_of_other_nodes_is_left_out(
    settings: Settings, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A repaired project can have nodes that the run has not built."""
    new = Column("model.game_analytics.new", "id")
    edges = [
        Edge(new, "", Column(PURCHASES, "player_id"), Kind.VALUE, ()),
        Edge(Column(PURCHASES, "player_id"), "", new, Kind.VALUE, ()),
        Edge(Column(PURCHASES, "not_declared"), "", Column(PURCHASES, "revenue"), Kind.VALUE, ()),
    ]
    unresolved = [Unresolved(new, "a reason")]
    lineage = ColumnLineage({PURCHASES: ("player_id", "revenue")}, edges, unresolved)
    monkeypatch.setattr(catalog, "project_lineage", lambda *_: (lineage, {new: Mark.NONE}, []))
    assert write_catalog(settings, folder) == []
    assert "game_analytics.new" not in page_of(folder, PURCHASES)
    assert "game_analytics.new" not in (folder / "lineage.html").read_text()


def test_the_warehouse_gives_types_and_columns_that_are_not_declared(
    settings: Settings, folder: Path
) -> None:
    built = {"REVENUE": {"type": "DOUBLE"}, "EXTRA": {"type": "DECIMAL(18,4)"}}
    (folder / "catalog.json").write_text(
        json.dumps({"nodes": {PURCHASES: {"columns": built}}, "sources": {}})
    )
    write_catalog(settings, folder)
    page = page_of(folder, PURCHASES)
    extra = page[page.index('<tr id="extra">') :]
    assert "<code>decimal(18,4)</code>" in extra[: extra.index("</tr>")]
    revenue = page[page.index('<tr id="revenue">') :]
    assert "<code>decimal(18,4)</code>" in revenue[: revenue.index("</tr>")]


def test_a_node_that_was_skipped_has_no_seconds(settings: Settings, folder: Path) -> None:
    results = {"results": [{"unique_id": PURCHASES, "status": "skipped", "execution_time": 0}]}
    (folder / "run_results.json").write_text(json.dumps(results))
    write_catalog(settings, folder)
    page = page_of(folder, PURCHASES)
    assert "Built in" not in page
    assert '<span class="status skipped">skipped</span>' in page


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("dbt/models/marts/revenue/a.sql", "Marts"),
        ("dbt/models/a.sql", "Models"),
        ("dbt/more_models/marts/a.sql", "Models"),
    ],
)
def test_the_layer_of_a_model_is_its_folder(file: str, name: str) -> None:
    assert layer(Asset("model.p.a", "a", "model", "a", file=file)) == name


def test_an_asset_without_a_description_has_no_summary() -> None:
    entry = Entry(Asset("model.p.a", "a", "model", "a"), None, "", Size(), "")
    assert entry.summary == ""


def test_a_page_shows_for_each_policy_whether_it_is_enforced(
    settings: Settings, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = Column("source.game_analytics.game_events.raw_events", "event_data")
    marks = {Column(PURCHASES, "player_id"): Mark.IDENTIFIER, raw: Mark.IDENTIFIER}
    lineage = ColumnLineage({}, [], [])
    monkeypatch.setattr(catalog, "project_lineage", lambda *_: (lineage, marks, []))
    mask = {("marts.fct_purchases", "player_id"): Mask("game_analytics_masked_varchar_1024")}
    known = Protection(
        replace(settings, target="redshift", lake="s3://studio/lake"),
        Rules("dbt", grants={"marts.fct_purchases": ["role:analysts"]}, masks=mask),
        Expirations({("raw-events", "lake/raw_events/"): 400}),
    )
    monkeypatch.setattr(catalog, "_protection", lambda _: (known, []))
    assert write_catalog(settings, folder) == []
    purchases = page_of(folder, PURCHASES)
    assert policies(purchases) == {
        "Grants": "enforced: by grants to role:analysts.",
        "Masking": "enforced: by a masking policy for everyone but nobody.",
        "Retention": "not enforced: nothing deletes rows of the warehouse by itself.",
    }
    assert '<a class="state enforced" href="#policies">masked</a>' in purchases
    events = page_of(folder, f"folder.{raw.unique_id}")
    assert policies(events) == {
        "Retention": "enforced: by lifecycle rule raw-events, which deletes files after 400 days."
    }
    index = (folder / "catalog.html").read_text()
    assert fact(index, "Masking of identifiers in the marts") == "1 enforced"
    nodes = json.loads(MANIFEST.read_text())["nodes"].values()
    marts = [node for node in nodes if node["resource_type"] == "model" and "marts" in node["fqn"]]
    assert fact(index, "Grants of the marts") == f"1 enforced {len(marts) - 1} unknown"


def policies(page: str) -> dict[str, str]:
    """The status of each policy of a page, without markup."""
    found = re.findall(
        r'data-label="Policy">(.*?)</td>.*?data-label="Status">(.*?)</td>', page, re.DOTALL
    )
    return {name: unescape(" ".join(re.sub(r"<[^>]+>", "", text).split())) for name, text in found}


def test_without_a_warehouse_grants_and_masking_are_unknown(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise UserError("the warehouse cannot be reached")

    monkeypatch.setattr(catalog, "open_database", refuse)
    monkeypatch.setattr(catalog, "read_expirations", lambda _: Expirations())
    redshift = replace(settings, target="redshift", lake="s3://studio/lake")
    protection, notes = catalog._protection(redshift)
    assert protection.rules is None
    assert notes == ["grants and masking could not be read: see the log of publish"]
    assert "the warehouse cannot be reached" in capsys.readouterr().out
