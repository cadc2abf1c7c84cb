"""The operators: which try is the last, what the error says, and what a stale source skips."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("airflow", reason="runs in Airflow's environment")

from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException
from cosmos.hooks.subprocess import FullOutputSubprocessResult

from include import transform
from include.manifest import Manifest, shown
from include.settings import Settings

MODEL, TEST = "model.game_analytics.a", "test.game_analytics.unique_a_id.0123456789"


class Instance:
    """A task instance as far as the operators use it."""

    task_id = "a"

    def __init__(self, *stale: str) -> None:
        self.stale = list(stale)

    def xcom_pull(self, task_ids: str) -> dict[str, list[str]]:
        assert task_ids == "freshness"
        return {"stale": self.stale}


def context(*stale: str) -> dict[str, Any]:
    return {"run_id": "manual__2026-09-01T00:00:00+00:00/..", "ti": Instance(*stale)}


def operator(folder: Path, results: list[dict[str, Any]] | None) -> transform.ExplainedDbtOperator:
    made = transform.ExplainedDbtOperator()
    made.sources = {MODEL: frozenset({"source.x"})}
    made.files = {MODEL: "dbt/models/a.sql", TEST: "dbt/models/a.yml"}
    made.artifacts = folder
    if results is not None:
        (folder / "run_results.json").write_text(json.dumps({"results": results}))
    return made


def result(unique_id: str, status: str, message: str | None = None) -> dict[str, Any]:
    return {"unique_id": unique_id, "status": status, "message": message}


def ended(code: int) -> FullOutputSubprocessResult:
    return FullOutputSubprocessResult(code, "last", ["first", "last"])


def test_a_failed_test_is_final_and_names_file_and_sql(tmp_path: Path) -> None:
    (tmp_path / "unique_a_id.sql").write_text("select 1")
    made = operator(tmp_path, [result(MODEL, "success"), result(TEST, "fail", "Got 3 results")])
    with pytest.raises(AirflowFailException) as error:
        made.handle_exception_subprocess(ended(1))
    assert str(error.value) == (
        "test unique_a_id failed: Got 3 results\n"
        "  file: dbt/models/a.yml\n"
        f"  SQL:  {shown(tmp_path / 'unique_a_id.sql')}"
    )


def test_an_error_is_retried(tmp_path: Path) -> None:
    made = operator(tmp_path, [result(MODEL, "error", "no such column"), result(TEST, "skipped")])
    with pytest.raises(AirflowException, match="model a broke: no such column") as error:
        made.handle_exception_subprocess(ended(1))
    assert not isinstance(error.value, AirflowFailException)


def test_an_error_beside_a_failed_test_is_final_and_tells_both(tmp_path: Path) -> None:
    other = "test.game_analytics.not_null_a.1"
    made = operator(tmp_path, [result(TEST, "fail", "Got 1"), result(other, "error", "lost")])
    with pytest.raises(AirflowFailException, match=r"(?s)not_null_a broke: lost.*unique_a_id"):
        made.handle_exception_subprocess(ended(1))


def test_dbt_that_died_without_results_is_retried_with_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(AirflowException, match=r"exit code 2\.\nfirst\nlast") as error:
        operator(tmp_path, None).handle_exception_subprocess(ended(2))
    assert not isinstance(error.value, AirflowFailException)


def test_a_selection_of_nothing_is_an_error_and_success_is_not(tmp_path: Path) -> None:
    with pytest.raises(AirflowFailException, match="make manifest"):
        operator(tmp_path, None).handle_exception_subprocess(ended(0))
    operator(tmp_path, [result(MODEL, "success")]).handle_exception_subprocess(ended(0))


def test_stale_sources_skip_what_needs_them(tmp_path: Path) -> None:
    made = operator(tmp_path, None)
    assert made.fresh(context("source.other")) == [MODEL]
    with pytest.raises(AirflowSkipException, match=r"stale source source\.x\."):
        made.fresh(context("source.other", "source.x"))
    made.sources = {"needs_it": frozenset({"source.x"}), "does_not": frozenset({"source.y"})}
    assert made.fresh(context("source.x")) == ["does_not"]


@pytest.mark.parametrize("result", [None, {}, "words"])
def test_without_a_result_of_freshness_nothing_counts_as_fresh(
    tmp_path: Path, result: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Instance, "xcom_pull", lambda *_, **__: result)
    with pytest.raises(AirflowFailException, match="no result of freshness: clear that task"):
        operator(tmp_path, None).fresh(context())
    done = transform.DoneOperator(task_id="done", manifest=Manifest({"nodes": {}}))
    with pytest.raises(AirflowFailException, match="no result of freshness"):
        done.execute(context())


def test_done_is_not_green_when_a_needed_source_is_stale() -> None:
    nodes = {"model.p.a": {"resource_type": "model", "depends_on": {"nodes": ["source.x"]}}}
    done = transform.DoneOperator(task_id="done", manifest=Manifest({"nodes": nodes}))
    done.execute(context("source.that_nobody_needs"))
    with pytest.raises(AirflowFailException, match=r"stale source source\.x\."):
        done.execute(context("source.x"))


def test_artifacts_stay_in_their_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transform, "ARTIFACTS", tmp_path / "artifacts")
    project = tmp_path / "project"
    (project / "target").mkdir(parents=True)
    entry = result("test.game_analytics." + "n" * 300, "fail") | {"compiled_code": "select 1"}
    (project / "target" / "run_results.json").write_text(json.dumps({"results": [entry]}))
    transform.keep_artifacts(str(project), context())
    kept = [path for path in tmp_path.rglob("*") if path.is_file() and project not in path.parents]
    folder = tmp_path / "artifacts" / "manual__2026-09-01T00_00_00_00_00_" / "a"
    assert {path.parent for path in kept} == {folder}
    assert {path.name for path in kept} == {"run_results.json", "n" * 150 + ".sql"}


def stand_in(folder: Path, script: str) -> Settings:
    """Settings whose dbt environment's python is a shell script."""
    python = folder / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    return Settings(dbt_executable=str(folder / "dbt"))


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("echo words; echo '{\"stale\": []}'", {"stale": []}),
        ("echo '{\"stale\": []}'; echo warning >&2; echo bye", {"stale": []}),
        ('echo \'{"no": "result"}\' >&2; echo words', None),
        ("echo words", None),
    ],
)
def test_a_commands_json_is_its_result(tmp_path: Path, script: str, expected: Any) -> None:
    settings = stand_in(tmp_path, script)
    step = transform.DbtEnvironmentOperator(task_id="step", settings=settings, command=["x"])
    assert step.execute({}) == expected


def test_a_commands_last_line_is_its_error(tmp_path: Path) -> None:
    settings = stand_in(tmp_path, "echo 'error: no lake.' >&2; sleep 0.2; echo words; exit 1")
    step = transform.DbtEnvironmentOperator(task_id="step", settings=settings, command=["x"])
    with pytest.raises(AirflowException, match=r"^error: no lake\.$"):
        step.execute({})
    (tmp_path / "python").unlink()
    with pytest.raises(AirflowFailException, match="make install"):
        step.execute({})
