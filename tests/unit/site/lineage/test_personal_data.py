"""Marks of personal data follow column lineage, and no column receives one without declaring it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

pytest.importorskip("dbt.adapters.duckdb", reason="runs in the dbt environment")

from include.manifest import BUILT_TYPES
from include.settings import UserError
from include.site.lineage import Column, column_lineage
from include.site.lineage.personal_data import (
    Leak,
    Mark,
    PersonalData,
    breakers,
    forms,
    personal_data,
    policies,
)
from tests.support.compiled_project import DIALECTS, compiled_manifest
from tests.support.small_manifest import manifest

PROJECT = "model.game_analytics"


class Compiled:
    """The compiled project on one engine, and what is found in it."""

    def __init__(self, target: str, folder: Path) -> None:
        self.dialect = DIALECTS[target]
        self.manifest = compiled_manifest(target, folder)
        self.forms = forms(self.manifest, self.dialect)
        # A test changes one model, so the others are followed only once.
        self.cache = folder / "lineage.json"

    def found(self, content: Mapping[str, Any] | None = None) -> PersonalData:
        content = content or self.manifest
        lineage = column_lineage(content, self.dialect, forms=self.forms, cache_file=self.cache)
        assert lineage.unresolved == []
        return personal_data(content, lineage)


@pytest.fixture(scope="module", params=DIALECTS)
def compiled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    return Compiled(request.param, tmp_path_factory.mktemp(request.param))


def test_each_column_that_receives_personal_data_declares_it(compiled: Compiled) -> None:
    found = compiled.found()
    assert not found.leaks, "\n".join(map(str, found.leaks))


def test_each_source_column_and_each_json_path_that_is_read_has_a_mark(compiled: Compiled) -> None:
    assert compiled.found().unmarked == []


def test_no_column_declares_more_than_it_receives(compiled: Compiled) -> None:
    assert compiled.found().unneeded == []


def test_the_marks_of_well_known_columns(compiled: Compiled) -> None:
    marks = compiled.found().marks
    columns = {
        "stg_game_events.device_id": Mark.IDENTIFIER,
        "fct_sessions.session_key": Mark.IDENTIFIER,
        "dim_players.player_id": Mark.IDENTIFIER,
        "dim_players.first_country_id": Mark.QUASI_IDENTIFIER,
        "dim_ledger_players.gender": Mark.QUASI_IDENTIFIER,
        "rpt_daily_kpis_by_segment.segment_value": Mark.QUASI_IDENTIFIER,
        # The personal keys are masked. Others, such as the country, are left.
        "fct_quarantined_events.payload": Mark.QUASI_IDENTIFIER,
        # Behind breakers: an age band, counts, null tests.
        "dim_ledger_players.age_band": Mark.NONE,
        "rpt_daily_kpis.dau": Mark.NONE,
        "rpt_data_health.null_player_count": Mark.NONE,
        "int_refunds.is_known_transaction": Mark.NONE,
        "stg_game_events.mismatch_reason": Mark.NONE,
        # Joined and filtered by the player's id.
        "rpt_ltv.ltv": Mark.NONE,
    }
    found = {
        name: marks.get(Column(f"{PROJECT}.{name.split('.')[0]}", name.split(".")[1]), Mark.NONE)
        for name in columns
    }
    assert found == columns


def test_the_tag_pii_is_on_the_nodes_with_an_identifier(compiled: Compiled) -> None:
    identifying = {
        column.unique_id
        for column, mark in compiled.found().marks.items()
        if mark is Mark.IDENTIFIER and column.unique_id in compiled.manifest["nodes"]
    }
    tagged = {
        unique_id
        for unique_id, node in compiled.manifest["nodes"].items()
        if "pii" in node["tags"] and node["resource_type"] in BUILT_TYPES
    }
    assert identifying == tagged


def selecting(compiled: Compiled, model: str, expression: str) -> list[Leak]:
    """The leaks after a new column `leak` of a mart, which selects the expression last."""
    content = copy.deepcopy(compiled.manifest)
    node = content["nodes"][f"{PROJECT}.{model}"]
    before, after = node["compiled_code"].rsplit("select * from final", 1)
    node["compiled_code"] = f"{before}select *, {expression} as leak from final{after}"
    return [leak for leak in compiled.found(content).leaks if leak.column.name == "leak"]


def test_an_undeclared_column_is_found_with_its_path_from_the_source(compiled: Compiled) -> None:
    (leak,) = selecting(compiled, "dim_players", "upper(player_id)")
    assert (leak.received, leak.declared) == (Mark.IDENTIFIER, Mark.NONE)
    lines = str(leak).splitlines()
    assert lines[0].startswith("dim_players.leak receives identifier and declares none.")
    steps = [line.split(" by ")[0].strip() for line in lines[1:]]
    assert steps == [
        "game_events.raw_events.event_data [user_id]",
        "-> stg_game_events.player_id",
        "-> int_events.player_id",
        "-> int_player_days.player_id",
        "-> dim_players.leak",
    ]
    assert lines[-1].endswith("by UPPER(final.player_id)")


@pytest.mark.parametrize(
    ("model", "expression", "received"),
    [
        ("dim_players", "player_id", Mark.IDENTIFIER),
        ("dim_players", "md5(player_id)", Mark.IDENTIFIER),
        ("dim_players", "'x' || coalesce(player_id, '')", Mark.IDENTIFIER),
        ("dim_players", "min(player_id) over ()", Mark.IDENTIFIER),
        ("dim_players", "case when is_payer then player_id end", Mark.IDENTIFIER),
        ("dim_players", "first_country_id", Mark.QUASI_IDENTIFIER),
        ("dim_players", "first_country_id = 'DE'", Mark.QUASI_IDENTIFIER),
        ("dim_players", "case when first_country_id = 'DE' then 1 end", Mark.QUASI_IDENTIFIER),
        ("dim_players", "case first_country_id when 'DE' then 1 end", Mark.QUASI_IDENTIFIER),
        ("dim_players", "player_id = 'x'", None),
        ("dim_players", "player_id is null", None),
        ("dim_players", "first_country_id is not null", None),
        ("dim_players", "count(distinct player_id) over ()", None),
        ("dim_players", "row_number() over (order by player_id)", None),
        ("dim_players", "length(player_id)", None),
        ("dim_players", "lifetime_revenue", None),
        ("dim_ledger_players", "age_band", None),
    ],
)
def test_which_expressions_end_a_mark(
    compiled: Compiled, model: str, expression: str, received: Mark | None
) -> None:
    assert [leak.received for leak in selecting(compiled, model, expression)] == (
        [received] if received else []
    )


def test_an_age_band_is_recognized_by_its_whole_form(compiled: Compiled) -> None:
    content = copy.deepcopy(compiled.manifest)
    node = content["nodes"][f"{PROJECT}.dim_ledger_players"]
    assert "when age_years <= 24 then '18-24'" in node["compiled_code"]
    node["compiled_code"] = node["compiled_code"].replace("<= 24 then '18-24'", "<= 24 then '24'")
    (leak,) = compiled.found(content).leaks
    assert (leak.column.name, leak.received) == ("age_band", Mark.QUASI_IDENTIFIER)
    assert "stg_ledger__players.birth_date" in str(leak)


def test_a_source_column_without_a_mark_or_with_another_word_is_listed(compiled: Compiled) -> None:
    content = copy.deepcopy(compiled.manifest)
    players = content["sources"]["source.game_analytics.ledger.players"]["columns"]
    players["vip"]["config"]["meta"] = {}
    players["kyc"]["config"]["meta"] = {"personal_data": "secret"}
    assert compiled.found(content).unmarked == ["ledger.players.kyc", "ledger.players.vip"]


def test_a_json_path_without_a_mark_is_listed_and_has_that_of_the_whole_text(
    compiled: Compiled,
) -> None:
    content = copy.deepcopy(compiled.manifest)
    events = content["sources"]["source.game_analytics.game_events.raw_events"]["columns"]
    del events["event_data"]["config"]["meta"]["json_paths"]["item_id"]
    found = compiled.found(content)
    assert found.unmarked
    for path in found.unmarked:
        assert path.startswith("game_events.raw_events.event_data [item_id"), path
    assert {leak.column.name for leak in found.leaks} == {"item_id"}
    assert {leak.received for leak in found.leaks} == {Mark.IDENTIFIER}


def test_breakers_that_are_macros_need_the_compiled_analysis(compiled: Compiled) -> None:
    content = copy.deepcopy(compiled.manifest)
    for node in content["nodes"].values():
        if node["resource_type"] == "analysis":
            node["compiled_code"] = None
    with pytest.raises(UserError, match="age_band, masked, masked_text: run `dbt compile`"):
        forms(content, compiled.dialect)


@pytest.mark.parametrize("sql", ["select (", "select 'x", "-- nothing"])
def test_an_analysis_that_cannot_be_parsed_is_an_error_of_the_user(sql: str) -> None:
    content = manifest({}, {})
    content["nodes"]["analysis.p.breakers"] = {
        **{"resource_type": "analysis", "name": "personal_data_breakers"},
        "compiled_code": sql,
    }
    with pytest.raises(UserError, match="sqlglot cannot parse the compiled analysis"):
        forms(content, "duckdb")


def test_each_breaker_and_policy_has_its_reason() -> None:
    for breaker in breakers().values():
        assert breaker.reason.endswith("."), breaker.name
        assert all(left <= mark for mark, left in breaker.leaves.items()), breaker.name
    assert set(policies()) == {Mark.IDENTIFIER, Mark.QUASI_IDENTIFIER}
    for policy in policies().values():
        assert policy.retention.endswith(".")
    assert policies()[Mark.IDENTIFIER].masking.endswith(".")
    assert policies()[Mark.QUASI_IDENTIFIER].masking == ""


MARKED = {
    "id": "identifier",
    "country": "quasi_identifier",
    "data": {"personal_data": "identifier", "json_paths": {"id": "identifier", "a": "none"}},
}


def small(models: dict[str, str]) -> dict[str, str]:
    """The marks that the columns of small models receive, by model and column."""
    content = manifest(models, {"t": list(MARKED)})
    for name, mark in MARKED.items():
        meta = mark if isinstance(mark, dict) else {"personal_data": mark}
        content["sources"]["source.p.s.t"]["columns"][name]["config"] = {"meta": meta}
    content["nodes"]["analysis.p.breakers"] = {
        **{"resource_type": "analysis", "name": "personal_data_breakers"},
        "compiled_code": "select concat('?', personal_data) as masked, "
        "replace(personal_data, personal_data, '') as masked_text, "
        "case when personal_data < 18 then 1 else personal_data end as age_band",
    }
    found = personal_data(
        content, column_lineage(content, "duckdb", forms=forms(content, "duckdb"))
    )
    return {
        f"{leak.column.unique_id.rsplit('.', 1)[-1]}.{leak.column.name}": str(leak.received)
        for leak in found.leaks
    }


def test_a_path_is_followed_through_models_that_pass_the_text_on() -> None:
    marks = small(
        {
            "one": "select data as text from s.t",
            "two": "select text as again from m.one",
            "three": "select again->>'id' as i, again->>'a' as a, again->>'a.b' as b from m.two",
        }
    )
    assert marks == {"one.text": "identifier", "two.again": "identifier", "three.i": "identifier"}


def test_a_seed_can_have_marks() -> None:
    content = manifest({"one": "select id from m.vips", "two": "select id from m.one"}, {})
    content["nodes"]["model.p.one"]["depends_on"]["nodes"] = ["seed.p.vips"]
    content["nodes"]["seed.p.vips"] = {
        **{"resource_type": "seed", "name": "vips", "schema": "m", "database": "db", "config": {}},
        **{"original_file_path": "vips.csv", "depends_on": {"nodes": []}},
        "columns": {"id": {"config": {"meta": {"personal_data": "identifier"}}}},
    }
    found = personal_data(content, column_lineage(content, "duckdb"))
    assert [leak.column.unique_id for leak in found.leaks] == ["model.p.one", "model.p.two"]
    assert found.unneeded == []


def test_a_whole_row_receives_the_mark_of_each_column() -> None:
    marks = small(
        {
            "hashed": "select md5(t::varchar) as v from s.t",
            "rows": "select r from (select country from s.t) as r",
            "counted": "select count(t) as v from s.t",
        }
    )
    assert marks == {"hashed.v": "identifier", "rows.r": "quasi_identifier"}


def marked() -> dict[str, Any]:
    """Two models, of which the second one reads a source's identifier by the first one."""
    content = manifest({"one": "select id from s.t", "two": "select id as v from m.one"}, {"t": []})
    meta = {"personal_data": "identifier"}
    content["sources"]["source.p.s.t"]["columns"]["id"] = {"name": "id", "config": {"meta": meta}}
    return content


def test_a_mark_passes_a_form_that_is_no_breaker_any_more() -> None:
    lineage = column_lineage(marked(), "duckdb")
    edges = [msgspec.structs.replace(edge, through=("removed",)) for edge in lineage.edges]
    found = personal_data(marked(), msgspec.structs.replace(lineage, edges=edges))
    assert [leak.received for leak in found.leaks] == [Mark.IDENTIFIER, Mark.IDENTIFIER]


def test_a_node_that_the_manifest_does_not_have_has_no_mark_and_is_listed() -> None:
    lineage = column_lineage(marked(), "duckdb")
    content = marked()
    del content["nodes"]["model.p.one"]
    found = personal_data(content, lineage)
    assert found.unmarked == ["one.id"]
    # What the missing model has received is passed on.
    assert [leak.column for leak in found.leaks] == [Column("model.p.two", "v")]
    assert set(found.marks) == {Column("source.p.s.t", "id"), Column("model.p.two", "v")}
    content = marked()
    content["sources"].clear()
    found = personal_data(content, lineage)
    assert (found.unmarked, found.leaks, found.marks) == (["s.t.id"], [], {})


def test_a_form_is_found_only_where_each_placeholder_is_the_same() -> None:
    marks = small(
        {
            "same": "select replace(id, id, '') as v from s.t",
            "other": "select replace(id, country, '') as v from s.t",
            "nested": "select replace(concat('?', id), id, '') as v from s.t",
            "below": "select case when id < 18 then 1 else id end as v from s.t",
            "above": "select case when id > 18 then 1 else id end as v from s.t",
        }
    )
    assert marks == dict.fromkeys(("other.v", "nested.v", "above.v"), "identifier")


def test_the_largest_of_several_marks_wins_and_a_breaker_ends_only_its_own_branch() -> None:
    marks = small(
        {
            "both": "select id || country as v from s.t",
            "half": "select count(id) || country as v from s.t",
            "twice": "select count(id) || id as v from s.t",
            "left": "select concat('?', id) as v from s.t",
        }
    )
    assert marks == {
        **{"both.v": "identifier", "half.v": "quasi_identifier"},
        **{"twice.v": "identifier", "left.v": "quasi_identifier"},
    }
