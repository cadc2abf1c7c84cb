"""`make run` without Airflow: the sample, the exit code, Airflow's settings, the API's errors."""

from __future__ import annotations

import configparser
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn

import pytest

pytest.importorskip("airflow", reason="runs in Airflow's environment")

import httpx

from include.laptop import airflow, retry, run
from include.manifest import Manifest
from include.messages import to_json
from include.settings import Settings, UserError
from include.site.runs import Run

DECLARED = Manifest(
    {"sources": {f"source.p.{name}": {"name": name} for name in ("raw_events", "games", "bets")}}
)


@pytest.mark.parametrize(
    ("file", "needed"),
    [
        (None, True),
        ("raw_events/_unfinished/a.parquet", True),
        ("raw_events/.hidden.parquet", True),
        # The run refuses this file by its name.
        ("games/README", False),
        ("of_no_source/a.parquet", True),
        ("_landing/staging/a/a.parquet", True),
        ("_landing/committed/a/a.parquet", False),
        ("_landing/receipts/a.json", False),
        ("raw_events/year=2026/month=09/day=01/a.parquet", False),
        ("games/a.csv.gz", False),
        ("bets/date=2026-09-01/a.jsonl", False),
    ],
)
def test_only_an_empty_lake_needs_a_sample(tmp_path: Path, file: str | None, needed: bool) -> None:
    if file:
        (tmp_path / file).parent.mkdir(parents=True)
        (tmp_path / file).touch()
    assert run.needs_sample(tmp_path, DECLARED) is needed


@pytest.mark.parametrize("state", ["failed", "skipped", "upstream_failed", "up_for_retry", None])
def test_only_a_run_whose_tasks_all_succeeded_is_a_success(
    state: str | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run, "in_dbt_environment", lambda *_: None)
    tasks: list[dict[str, Any]] = [{"task_id": "a", "state": "success"}]
    assert run.report(Settings(docs="/nowhere"), "r", tasks, 1) == 0
    tasks.append({"task_id": "b", "state": state})
    assert run.report(Settings(docs="/nowhere"), "r", tasks, 1) == 1
    assert capsys.readouterr().err.endswith(f"did not succeed:\n  {str(state).lower()}: b\n")


def test_it_ends_with_the_links_of_what_was_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run, "in_dbt_environment", lambda *_: None)
    settings = Settings(docs=str(tmp_path))
    tasks: list[dict[str, Any]] = [{"task_id": "a", "state": "success"}]
    assert run.report(settings, "r:1", tasks, 1) == 0
    assert "pages      the run is not published: see the log of the task publish." in (
        capsys.readouterr().out
    )
    published = Run(
        *("r:1", "success", "site/1", "", "", 1.0),
        pages=("dbt/index.html", "lineage.html", "report.html"),
    )
    (tmp_path / "runs" / "r_1").mkdir(parents=True)
    (tmp_path / "runs" / "r_1" / "run.json").write_text(to_json(published))
    assert run.report(settings, "r:1", tasks, 1) == 0
    lines = capsys.readouterr().out.splitlines()
    folder = f"file://{tmp_path}/runs/r_1/site/1"
    assert lines[-7:-2] == [
        f"KPI report {folder}/report.html",
        f"Lineage    {folder}/lineage.html",
        f"dbt docs   {folder}/dbt/index.html",
        f"this run   {folder}/index.html",
        f"all runs   file://{tmp_path}/index.html",
    ]


def test_airflow_is_on_loopback_and_its_keys_are_private(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(airflow, "HOME", tmp_path)
    written = []
    for port in (1, 2):
        airflow.Airflow(Settings(), port=port)._configure()
        config = configparser.ConfigParser(interpolation=None)
        config.read(tmp_path / "airflow.cfg")
        written.append(config)
    assert stat.S_IMODE((tmp_path / "airflow.cfg").stat().st_mode) == 0o600
    assert written[1]["api"]["host"] == "127.0.0.1"
    assert written[1]["cosmos"]["enable_telemetry"] == "False"
    # Saved connections stay readable, and tokens of an earlier start become invalid.
    assert written[0]["core"]["fernet_key"] == written[1]["core"]["fernet_key"]
    assert written[0]["api_auth"]["jwt_secret"] != written[1]["api_auth"]["jwt_secret"]


@pytest.mark.parametrize(
    ("nodes", "seconds", "triggers"),
    [
        (0, "0.2", "50"),
        (48, "0.2", "50"),
        (200, "0.8", "25"),
        (1000, "1", "5"),
        (20_000, "1", "5"),
    ],
)
def test_the_loops_of_airflow_suit_the_size_of_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nodes: int, seconds: str, triggers: str
) -> None:
    """A loop of the scheduler reads all task instances, and one of the triggerer whole DAGs."""
    monkeypatch.setattr(airflow, "HOME", tmp_path)
    airflow.Airflow(Settings(), nodes, port=1)._configure()
    config = configparser.ConfigParser(interpolation=None)
    config.read(tmp_path / "airflow.cfg")
    assert config["scheduler"]["scheduler_idle_sleep_time"] == seconds
    assert config["triggerer"]["max_trigger_to_select_per_loop"] == triggers


class ManyTasks(airflow.Client):
    """An API whose run has 1,000 tasks. `asked` are the times since which changes were read."""

    def __init__(self) -> None:
        self.states = dict.fromkeys((f"task_{number}" for number in range(1000)), "running")
        self.changed: set[str] = set()
        self.is_running = True
        self.asked: list[datetime | None] = []

    def run_state(self, run_id: str) -> str:  # noqa: ARG002
        return "running" if self.is_running else "success"

    def get(self, path: str, **parameters: Any) -> dict[str, Any]:  # noqa: ARG002
        since = parameters.get("updated_at_gte")
        if parameters["offset"] == 0:
            self.asked.append(datetime.fromisoformat(since) if since else None)
        rows = [
            {"task_id": name, "state": state, "try_number": 1, "end_date": None, "duration": 1.0}
            for name, state in self.states.items()
            if since is None or name in self.changed
        ]
        page = rows[parameters["offset"] :][: parameters["limit"]]
        return {"task_instances": page, "total_entries": len(rows)}


def test_the_progress_of_a_run_reads_the_tasks_that_have_changed_and_at_the_end_all(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """To read 1,000 tasks costs the API server a second of a core, and dbt needs that core."""
    api = ManyTasks()
    steps = iter([{"task_1", "task_2"}, {"task_2", "task_3"}])

    def change(_: float) -> None:
        # A task that changes without being among the changed rows is found at the end.
        api.changed = next(steps, set())
        api.states.update(dict.fromkeys(api.changed or api.states, "success"))
        api.is_running = bool(api.changed)

    monkeypatch.setattr("time.sleep", change)
    began = datetime.now(UTC)
    tasks = run.follow(airflow.Airflow(Settings()), api, "run")
    assert [since is None for since in api.asked] == [True, False, False, True]
    age = timedelta(seconds=run.CHANGED_SECONDS)
    assert all(since is None or since >= began - age for since in api.asked)
    assert len(tasks) == 1000
    assert {task["state"] for task in tasks} == {"success"}
    printed = [line.split()[2] for line in capsys.readouterr().out.splitlines()]
    assert printed[:3] == ["task_1", "task_2", "task_3"]
    assert sorted(printed) == sorted(api.states)


def test_a_poll_without_an_answer_loses_no_change(monkeypatch: pytest.MonkeyPatch) -> None:
    progress = run.Progress(ManyTasks(), "run")
    progress.update(read_all=False)
    since = progress.since

    def refuse(*_: Any, **__: Any) -> NoReturn:
        raise airflow.NoAnswerError

    monkeypatch.setattr(ManyTasks, "get", refuse)
    with pytest.raises(airflow.NoAnswerError):
        progress.update(read_all=False)
    assert progress.since == since


def client(answer: httpx.Response | httpx.HTTPError) -> airflow.Client:
    """A client of an API that gives the same answer to every request."""

    def handle(_: httpx.Request) -> httpx.Response:
        if isinstance(answer, Exception):
            raise answer
        return answer

    made = airflow.Client("http://127.0.0.1:1")
    made.http = httpx.Client(base_url="http://127.0.0.1:1", transport=httpx.MockTransport(handle))
    return made


@pytest.mark.parametrize(
    "answer",
    [
        httpx.ConnectError("refused"),
        httpx.ReadTimeout("late"),
        httpx.Response(500),
        httpx.Response(200, text="no JSON"),
    ],
)
def test_an_api_that_does_not_answer_is_one_sentence(
    answer: httpx.Response | httpx.HTTPError, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(airflow.NoAnswerError, match=r"does not answer \(.+\): read .*api-server"):
        client(answer).trigger("run")
    assert not client(answer).answers()
    monkeypatch.setattr(run, "NO_ANSWER_SECONDS", 0)
    with pytest.raises(airflow.NoAnswerError):
        run.follow(airflow.Airflow(Settings()), client(answer), "run")


def test_the_state_of_a_run_is_that_of_the_run_with_exactly_this_id() -> None:
    """The API also finds the runs whose ids begin with it."""
    runs = [{"dag_run_id": "run_2", "state": "failed"}, {"dag_run_id": "run", "state": "success"}]
    api = client(httpx.Response(200, json={"dag_runs": runs}))
    assert api.run_state("run") == "success"
    with pytest.raises(UserError, match="no run ru of the DAG game_analytics"):
        api.run_state("ru")


def test_an_error_contains_the_api_s_reason_for_a_refusal() -> None:
    with pytest.raises(UserError, match=r"refuses POST .*dagRuns \(409\): there is one") as error:
        client(httpx.Response(409, text="there is one")).trigger("run")
    assert not isinstance(error.value, airflow.NoAnswerError)


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        ("rpt_lvt", r"no task rpt_lvt: did you mean rpt_ltv"),
        ("ltv", r"did you mean rpt_ltv or rpt_ltv_overall\?$"),
        ("^rpt_ltv$", r"did you mean rpt_ltv"),
        ("zzz", r"there are done, rpt_ltv, rpt_ltv_overall\.$"),
        ("", r"no task without a name \(TASK=\): there are"),
    ],
)
def test_the_error_for_an_unknown_task_lists_similar_names(task: str, expected: str) -> None:
    known = ["rpt_ltv_overall", "rpt_ltv", "done"]
    retry.check("rpt_ltv", known)
    with pytest.raises(UserError, match=expected):
        retry.check(task, known)
