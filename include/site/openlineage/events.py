"""The events of a run: of the run itself, of each node that it has built, and of its tests.

As in openlineage-dbt, a node has one job that builds it and one that tests it, a test of several
nodes is a job of its own, and a node that was skipped or not selected has no event, because its job
has not run. The same run has the same ids in each publication, so a second one adds no runs.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState
from openlineage.client.facet_v2 import (
    DatasetFacet,
    JobFacet,
    RunFacet,
    data_quality_assertions_dataset,
    datasource_dataset,
    documentation_dataset,
    documentation_job,
    error_message_run,
    job_type_job,
    output_statistics_output_dataset,
    ownership_dataset,
    parent_run,
    schema_dataset,
    set_producer,
    sql_job,
    symlinks_dataset,
    test_run,
)

from include.manifest import BUILT_TYPES, Manifest
from include.messages import FAILED
from include.site.assets import Asset
from include.site.catalog.outcomes import read_outcomes
from include.site.openlineage.columns import Columns
from include.site.openlineage.names import DatasetName, Names
from include.site.run_artifacts import Result
from include.site.runs import Run as PublishedRun
from include.site.runs import moment

PRODUCER = "urn:game-analytics:include.site.openlineage"
IDS = uuid.uuid5(uuid.NAMESPACE_URL, PRODUCER)
"""The namespace of the ids of runs."""
EXECUTED = frozenset({"success", "warn"}) | FAILED
"""The statuses of a node or a test that was run."""


@dataclass(frozen=True)
class Place:
    """Where the events of a run belong: the namespace of all jobs, and the job of the whole run.

    `is_dag` is true if Airflow has started the run.
    """

    namespace: str
    job: str
    is_dag: bool


class WholeRun:
    """The run as a whole, which is the parent of all other runs."""

    def __init__(self, place: Place, run: PublishedRun) -> None:
        # Otherwise each facet names the client's authors as its producer.
        set_producer(PRODUCER)
        self._place = place
        self._run = run
        self.id = self.id_of(place.job, run.run_id)

    def id_of(self, *parts: str) -> str:
        """The id of a run, which is always the same for the same parts."""
        return str(uuid.uuid5(IDS, "\n".join([self._place.namespace, *parts])))

    def id_of_node(self, job: str, started: str) -> str:
        """The id of one execution of a job in this run."""
        return self.id_of(job, self._run.run_id, started)

    @cached_property
    def facet(self) -> parent_run.ParentRunFacet:
        """The facet by which another run names this one as its parent."""
        return parent_run.ParentRunFacet(
            run=parent_run.Run(runId=self.id),
            job=parent_run.Job(namespace=self._place.namespace, name=self._place.job),
        )

    def start(self) -> RunEvent:
        """The start of the run."""
        return self._event(RunState.START, self._run.started_at, {})

    def end(self) -> RunEvent:
        """The end of the run."""
        if self._run.outcome != "failed":
            return self._event(RunState.COMPLETE, self._run.published_at, {})
        message = self._run.message or "nodes or tests of this run have failed"
        return self._event(RunState.FAIL, self._run.published_at, {"errorMessage": _error(message)})

    def _event(self, state: RunState, at: str, facets: dict[str, RunFacet]) -> RunEvent:
        kind = ("AIRFLOW", "DAG") if self._place.is_dag else ("DBT", "JOB")
        return RunEvent(
            eventType=state,
            eventTime=at,
            run=Run(self.id, facets=facets),
            job=Job(self._place.namespace, self._place.job, facets={"jobType": _job_type(*kind)}),
            producer=PRODUCER,
        )


class NodesOfRun:
    """The nodes and tests of a run.

    `manifest`, `results` and `assets` are those of the publication.
    """

    def __init__(
        self,
        parent: WholeRun,
        place: Place,
        names: Names,
        manifest: Mapping[str, Any],
        results: Sequence[Result],
        assets: Mapping[str, Asset],
        run: PublishedRun,
        dialect: str,
    ) -> None:
        self._parent = parent
        self._place = place
        self._names = names
        self._manifest = Manifest(manifest)
        self._sources: Mapping[str, Mapping[str, Any]] = manifest.get("sources", {})
        self._results = {result["unique_id"]: result for result in results}
        self._outcomes = read_outcomes({"results": results})
        self._assets = assets
        self._run = run
        self._dialect = dialect

    @cached_property
    def ephemeral(self) -> frozenset[str]:
        """The ids of the models that have no table."""
        return frozenset(
            unique_id
            for unique_id, node in self._manifest.nodes.items()
            if node["resource_type"] in BUILT_TYPES and unique_id not in self._manifest.built
        )

    def name_of(self, unique_id: str) -> DatasetName | None:
        """The name of the table or the folder with this id; None if there is none."""
        if unique_id in self._sources:
            return self._names.source(self._sources[unique_id])
        if unique_id in self._manifest.built:
            return self._names.table(self._manifest.nodes[unique_id])
        return None

    def events(self, columns: Columns) -> Iterator[list[RunEvent]]:
        """The events of each job that was run, with its start first."""
        for unique_id in sorted(self._manifest.built & set(self._results)):
            if self._results[unique_id]["status"] in EXECUTED:
                yield self._built(unique_id, columns)
        for unique_id in sorted({*self._sources, *self._manifest.built}):
            tests = [test for test in self._manifest.tests_of(unique_id) if self._is_executed(test)]
            if tests:
                yield self._tested(unique_id, tests)
        for test in sorted(self._manifest.tests()):
            if len(self._manifest.parents(test)) != 1 and self._is_executed(test):
                yield self._tested_across(test)

    def _is_executed(self, unique_id: str) -> bool:
        return self._results.get(unique_id, {}).get("status") in EXECUTED

    def _built(self, unique_id: str, columns: Columns) -> list[RunEvent]:
        """The events of the job that builds a node."""
        node, result = self._manifest.nodes[unique_id], self._results[unique_id]
        job = Job(self._place.namespace, self._names.job(node), facets=self._job_facets(node))
        inputs = [self._input(parent) for parent in self._tables_read(unique_id)]
        name = self._names.table(node)
        output = OutputDataset(*name, facets=self._facets(unique_id, name))
        if output.facets is not None and (lineage := columns.facet(unique_id)):
            output.facets["columnLineage"] = lineage
        if (rows := self._outcomes[unique_id].rows) is not None:
            statistics = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(rows)
            output.outputFacets = {"outputStatistics": statistics}
        return self._start_and_end(job, [result], inputs, [OutputDataset(*name)], [output])

    def _tested(self, unique_id: str, tests: Sequence[str]) -> list[RunEvent]:
        """The events of the job that runs the tests of one node or source."""
        node = self._sources.get(unique_id) or self._manifest.nodes[unique_id]
        facet = data_quality_assertions_dataset.DataQualityAssertionsDatasetFacet(
            # A test that could not be run has found nothing out about the data.
            [self._assertion(test) for test in tests if self._results[test]["status"] != "error"]
        )
        dataset = self._input(unique_id)
        dataset.inputFacets = {"dataQualityAssertions": facet}
        job = self._test_job(self._names.test_job(node))
        return self._start_and_end(job, [self._results[test] for test in tests], [dataset])

    def _tested_across(self, test: str) -> list[RunEvent]:
        """The events of the job that runs a test of several nodes."""
        node, result = self._manifest.nodes[test], self._results[test]
        execution = test_run.TestExecution(
            name=node["name"],
            status="pass" if result["status"] == "success" else "fail",
            severity=_severity(node),
            type=_type_of(node),
            description=node.get("description") or None,
            expected="0",
            actual=_failures(result),
        )
        has_run = result["status"] != "error"
        facets: dict[str, RunFacet] = (
            {"test": test_run.TestRunFacet(tests=[execution])} if has_run else {}
        )
        inputs = [self._input(parent) for parent in self._tables_read(test)]
        return self._start_and_end(self._test_job(test), [result], inputs, facets=facets)

    def _start_and_end(
        self,
        job: Job,
        results: Sequence[Result],
        inputs: list[InputDataset],
        expected: list[OutputDataset] | None = None,
        written: list[OutputDataset] | None = None,
        facets: dict[str, RunFacet] | None = None,
    ) -> list[RunEvent]:
        """Both events of a job. Only a job that succeeded has written its outputs."""
        started, ended = self._times(results)
        is_built = self._is_node(results)
        bad = [result for result in results if result["status"] in FAILED]
        run_facets: dict[str, RunFacet] = {"parent": self._parent.facet, **(facets or {})}
        run_id = self._parent.id_of_node(job.name, started)
        first = RunEvent(
            eventType=RunState.START,
            eventTime=started,
            run=Run(run_id, facets={"parent": self._parent.facet}),
            job=job,
            inputs=[InputDataset(one.namespace, one.name) for one in inputs],
            outputs=expected or [],
            producer=PRODUCER,
        )
        if bad:
            texts = [str(result.get("message") or result["status"]) for result in bad]
            run_facets["errorMessage"] = _error("\n".join(texts))
        last = RunEvent(
            eventType=RunState.FAIL if bad else RunState.COMPLETE,
            eventTime=ended,
            run=Run(run_id, facets=run_facets),
            job=job,
            inputs=inputs,
            outputs=[] if bad and is_built else written or [],
            producer=PRODUCER,
        )
        return [first, last]

    @staticmethod
    def _is_node(results: Sequence[Result]) -> bool:
        return results[0]["unique_id"].partition(".")[0] in BUILT_TYPES

    def _times(self, results: Sequence[Result]) -> tuple[str, str]:
        """When the first of these was started and the last one ended, by dbt's results.

        A dbt that was killed has written only the seconds. They count from the start of the run.
        """
        steps = [step for result in results for step in result.get("timing") or ()]
        started = [step["started_at"] for step in steps if step.get("started_at")]
        ended = [step["completed_at"] for step in steps if step.get("completed_at")]
        if started and ended:
            return min(started, key=moment), max(ended, key=moment)
        seconds = sum(float(result.get("execution_time") or 0) for result in results)
        began: datetime = moment(self._run.started_at)
        return began.isoformat(), (began + timedelta(seconds=seconds)).isoformat()

    def _tables_read(self, unique_id: str) -> list[str]:
        """The ids of the tables and sources that a node or test reads, also by ephemeral models."""
        found: dict[str, None] = {}
        waiting = sorted(self._manifest.parents(unique_id))
        while waiting:
            parent = waiting.pop(0)
            if parent in self.ephemeral:
                waiting += sorted(self._manifest.parents(parent))
            elif self.name_of(parent) and parent != unique_id:
                found[parent] = None
        return list(found)

    def _input(self, unique_id: str) -> InputDataset:
        """A dataset that is read. No job writes a source, so its facets are here."""
        name = self.name_of(unique_id)
        if name is None:
            raise ValueError(f"{unique_id} has no table")
        if unique_id not in self._sources:
            return InputDataset(*name)
        facets = self._facets(unique_id, name)
        table = self._names.table(self._sources[unique_id])
        facets["symlinks"] = symlinks_dataset.SymlinksDatasetFacet(
            [symlinks_dataset.Identifier(*table, type="TABLE")]
        )
        return InputDataset(*name, facets=facets)

    def _facets(self, unique_id: str, name: DatasetName) -> dict[str, DatasetFacet]:
        asset = self._assets[unique_id]
        uri = name.namespace if "://" in name.namespace else f"{name.namespace}:///"
        facets: dict[str, DatasetFacet] = {
            "dataSource": datasource_dataset.DatasourceDatasetFacet(name=name.namespace, uri=uri)
        }
        if asset.columns:
            facets["schema"] = schema_dataset.SchemaDatasetFacet(
                [
                    schema_dataset.SchemaDatasetFacetFields(
                        name=column.name.lower(),
                        type=column.data_type or None,
                        description=column.description or None,
                        ordinal_position=place,
                    )
                    for place, column in enumerate(asset.columns, start=1)
                ]
            )
        if asset.description:
            facets["documentation"] = documentation_dataset.DocumentationDatasetFacet(
                asset.description
            )
        if asset.owner.name or asset.owner.email:
            owner = ownership_dataset.Owner(f"team:{asset.owner.name or asset.owner.email}")
            facets["ownership"] = ownership_dataset.OwnershipDatasetFacet([owner])
        return facets

    def _job_facets(self, node: Mapping[str, Any]) -> dict[str, JobFacet]:
        facets: dict[str, JobFacet] = {"jobType": _job_type("DBT", node["resource_type"].upper())}
        if sql := node.get("compiled_code"):
            facets["sql"] = sql_job.SQLJobFacet(query=sql, dialect=self._dialect)
        if text := str(node.get("description") or "").strip():
            facets["documentation"] = documentation_job.DocumentationJobFacet(description=text)
        return facets

    def _test_job(self, name: str) -> Job:
        return Job(self._place.namespace, name, facets={"jobType": _job_type("DBT", "TEST")})

    def _assertion(self, test: str) -> data_quality_assertions_dataset.Assertion:
        node, result = self._manifest.nodes[test], self._results[test]
        return data_quality_assertions_dataset.Assertion(
            assertion=_type_of(node),
            success=result["status"] == "success",
            column=(node.get("column_name") or "").lower() or None,
            severity=_severity(node),
            name=node["name"],
            description=node.get("description") or None,
            expected="0",
            actual=_failures(result),
        )


def _job_type(integration: str, kind: str) -> job_type_job.JobTypeJobFacet:
    return job_type_job.JobTypeJobFacet(
        processingType="BATCH", integration=integration, jobType=kind
    )


def _error(message: str) -> error_message_run.ErrorMessageRunFacet:
    return error_message_run.ErrorMessageRunFacet(message=message, programmingLanguage="SQL")


def _type_of(node: Mapping[str, Any]) -> str:
    return str((node.get("test_metadata") or {}).get("name") or "custom_sql")


def _severity(node: Mapping[str, Any]) -> str:
    return str(node.get("config", {}).get("severity") or "error").lower()


def _failures(result: Result) -> str | None:
    failures = result.get("failures")
    return None if failures is None else str(failures)
