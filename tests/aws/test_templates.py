"""The templates and the state machine pass their linters, and rules that no linter checks."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("yamllint", reason="runs in Airflow's environment, once")

from include.deployment.mwaa import versions
from include.settings import AIRFLOW_PREFIX, CHECKS, PREFIX, ROOT, Settings
from tests.aws import templates

PROGRAMS = ROOT / ".venv" / "aws" / "bin"
ASL_VALIDATOR = ROOT / ".venv/aws/asl/node_modules/.bin/asl-validator"
MACHINE = templates.FOLDER / "state_machine.asl.json"
BY_NAME = {path.stem: path for path in templates.TEMPLATES}


def lint(*command: str | Path) -> None:
    """Run a linter; its output is the message if the test fails."""
    if not (PROGRAMS / "python").exists():
        pytest.skip("the environment .venv/aws is missing")
    ran = subprocess.run(
        [*map(str, command)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if ran.returncode:
        pytest.fail(ran.stdout + ran.stderr, pytrace=False)


def validate(path: Path) -> None:
    """Run the linter of state machines, which uses the reference implementation of JSONata."""
    if not ASL_VALIDATOR.exists():
        pytest.skip("npm's registry could not be reached when .venv/aws was installed")
    lint(PROGRAMS / "node", ASL_VALIDATOR, "--json-path", path)


def test_the_list_of_templates_is_complete() -> None:
    assert sorted(BY_NAME) == ["build", "mwaa", "network", "storage"]


def test_the_templates_pass_the_linter_of_cloudformation() -> None:
    lint(PROGRAMS / "cfn-lint", "--", *templates.TEMPLATES)


def test_the_state_machine_passes_its_linter() -> None:
    validate(MACHINE)


@pytest.mark.parametrize(
    ("sound", "broken"),
    [
        ('"Next": "WriteSummary"', '"Next": "Nowhere"'),
        ("$power(2, $tries - 1)])", "$power(2, $tries - 1)"),
        ('"Type": "Choice"', '"Type": "Chance"'),
    ],
)
def test_the_linter_of_state_machines_finds_errors(tmp_path: Path, sound: str, broken: str) -> None:
    text = MACHINE.read_text()
    assert sound in text
    (tmp_path / "machine.json").write_text(text.replace(sound, broken))
    with pytest.raises(pytest.fail.Exception):
        validate(tmp_path / "machine.json")


def test_every_placeholder_of_the_machine_is_filled() -> None:
    (machine,) = templates.resources(BY_NAME["build"], "AWS::StepFunctions::StateMachine").values()
    wanted = set(re.findall(r"\$\{(\w+)\}", MACHINE.read_text()))
    assert wanted == set(machine["DefinitionSubstitutions"])
    assert machine["DefinitionS3Location"] == MACHINE.name


def states() -> dict[str, Any]:
    """The states of the machine."""
    found: dict[str, Any] = json.loads(MACHINE.read_text())["States"]
    return found


def test_every_task_has_an_end_and_a_catch() -> None:
    tasks = {name: state for name, state in states().items() if state["Type"] == "Task"}
    assert sorted(tasks) == ["Alert", "Build", "ReadResult"]
    for name, state in tasks.items():
        assert 0 < state["TimeoutSeconds"] <= 7200, name
        assert [catch["ErrorEquals"] for catch in state["Catch"]] == [["States.ALL"]], name
        # The output of a state is limited to 256 KB, so the answer of a service is never passed on.
        assert "Output" in state, name
        assert all(catch["Output"] == {} for catch in state["Catch"]), name


def test_the_time_limit_of_the_machine_is_longer_than_its_tries() -> None:
    waits = sum(min(900, 60 * 2**number) for number in range(5))
    machine = json.loads(MACHINE.read_text())
    # Only the last try can reach its time-out, because it is not retried.
    assert machine["TimeoutSeconds"] > states()["Build"]["TimeoutSeconds"] + waits
    (alarm,) = [
        one
        for one in templates.resources(BY_NAME["build"], "AWS::CloudWatch::Alarm").values()
        if one["MetricName"] == "ExecutionsTimedOut"
    ]
    assert machine["TimeoutSeconds"] == 6 * 3600
    assert "six hours" in alarm["AlarmDescription"]
    assert states()["Build"]["TimeoutSeconds"] == 2 * 3600
    assert "longer than two hours" in states()["WriteSummary"]["Assign"]["summary"]


def test_no_template_has_a_secret() -> None:
    for path in [*templates.TEMPLATES, MACHINE]:
        text = path.read_text()
        assert "SecretString" not in text
        assert "NoEcho" not in text
        assert not re.search(r"(?i)password:? *[\"']?[a-z0-9]{4}", text), path
        for secret in (
            templates.resources(path, "AWS::SecretsManager::Secret").values()
            if path.suffix == ".yaml"
            else []
        ):
            assert set(secret) == {"Name", "Description"}


def test_every_bucket_is_closed_encrypted_and_versioned() -> None:
    buckets = templates.resources(BY_NAME["storage"], "AWS::S3::Bucket")
    assert sorted(buckets) == ["CodeBucket", "DocsBucket", "LakeBucket"]
    policies = templates.resources(BY_NAME["storage"], "AWS::S3::BucketPolicy")
    assert sorted(policy["Bucket"]["Ref"] for policy in policies.values()) == sorted(buckets)
    for name, bucket in buckets.items():
        assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
        assert bucket["BucketEncryption"]
        assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
        kept = templates.read(BY_NAME["storage"])["Resources"][name]
        # If the creation of a stack fails, its buckets must go, or their names would be in use.
        assert kept["DeletionPolicy"] == "RetainExceptOnCreate"
        assert kept["UpdateReplacePolicy"] == "Retain"
        rules = bucket["LifecycleConfiguration"]["Rules"]
        assert all(rule["Status"] == "Enabled" for rule in rules)
        # In a bucket with versions a deleted object exists until its versions expire.
        assert any("NoncurrentVersionExpiration" in rule for rule in rules)


def test_no_rule_deletes_the_latest_run() -> None:
    docs = templates.resources(BY_NAME["storage"], "AWS::S3::Bucket")["DocsBucket"]
    rules = docs["LifecycleConfiguration"]["Rules"]
    assert [rule for rule in rules if "ExpirationInDays" in rule] == []


def test_raw_and_rejected_events_are_kept_for_a_stated_time() -> None:
    lake = templates.resources(BY_NAME["storage"], "AWS::S3::Bucket")["LakeBucket"]
    kept = {
        templates.written(rule["Prefix"]): rule["ExpirationInDays"]
        for rule in lake["LifecycleConfiguration"]["Rules"]
        if "Prefix" in rule
    }
    assert kept == {
        "${LakePrefix}/raw_events/": {"Ref": "RawDays"},
        "${LakePrefix}/rejected_events/": {"Ref": "RawDays"},
        # The originals of compacted files contain personal data too.
        "${LakePrefix}/_compacted/": 30,
    }


def test_events_expire_after_late_days() -> None:
    # If a day disappears within LATE_DAYS, a run removes its rows from the marts.
    raw = templates.read(BY_NAME["storage"])["Parameters"]["RawDays"]["Default"]
    for name in ("build", "mwaa"):
        assert int(templates.read(BY_NAME[name])["Parameters"]["LateDays"]["Default"]) < raw


def test_the_image_is_scanned_and_its_tags_are_immutable() -> None:
    (repository,) = templates.resources(BY_NAME["storage"], "AWS::ECR::Repository").values()
    assert repository["ImageScanningConfiguration"] == {"ScanOnPush": True}
    assert repository["ImageTagMutability"] == "IMMUTABLE"
    rules = json.loads(repository["LifecyclePolicy"]["LifecyclePolicyText"])["rules"]
    assert [rule["action"]["type"] for rule in rules] == ["expire"]


def test_the_cluster_can_be_made_in_an_account_that_is_new_to_ecs() -> None:
    # A capacity provider needs ECS's service-linked role, which is created with the first cluster.
    (cluster,) = templates.resources(BY_NAME["build"], "AWS::ECS::Cluster").values()
    assert set(cluster) == {"ClusterName"}
    assert states()["Build"]["Arguments"]["LaunchType"] == "FARGATE"


def task_definition() -> dict[str, Any]:
    """The task definition of build.yaml."""
    (found,) = templates.resources(BY_NAME["build"], "AWS::ECS::TaskDefinition").values()
    return found


def test_the_container_is_read_only_and_gets_its_login_from_the_secret() -> None:
    (container,) = task_definition()["ContainerDefinitions"]
    assert container["Name"] == "dbt"
    assert container["ReadonlyRootFilesystem"] is True
    assert container["User"] == "10001:10001"
    assert container["StopTimeout"] == 60
    assert container["MountPoints"] == [
        {"SourceVolume": "tmp", "ContainerPath": "/tmp", "ReadOnly": False}  # noqa: S108
    ]
    assert {one["Name"]: templates.written(one["ValueFrom"]) for one in container["Secrets"]} == {
        f"REDSHIFT_{key.upper()}": f"${{ConnectionArn}}:{key}::"
        for key in ("host", "port", "username", "password", "dbname")
    }


def test_the_container_has_valid_settings() -> None:
    (container,) = task_definition()["ContainerDefinitions"]
    given = {one["Name"]: templates.written(one["Value"]) for one in container["Environment"]}
    known = {f"{PREFIX}{name}" for name in CHECKS}
    assert {name for name in given if name.startswith(PREFIX)} <= known
    # With the defaults of the parameters they must be valid settings.
    text = json.dumps(given)
    for name, parameter in templates.read(BY_NAME["build"])["Parameters"].items():
        text = text.replace(f"${{{name}}}", str(parameter.get("Default", "")))
    text = text.replace("${LakeBucket}", "a-lake").replace("${LakePrefix}", "lake")
    text = text.replace("${DocsBucket}", "docs").replace("${DocsPrefix}", "site")
    text = text.replace("${GlueDatabase}", "game_analytics")
    text = text.replace("${AccountId}", "123456789012")
    settings = Settings.from_env(json.loads(text))
    assert (settings.target, settings.lake) == ("redshift", "s3://a-lake/lake")
    assert (settings.docs, settings.docs_days) == ("s3://docs/site", "90")
    assert (settings.readers, settings.unmasked_readers) == ("", "everyone")


def test_mwaa_has_valid_settings() -> None:
    (environment,) = templates.resources(BY_NAME["mwaa"], "AWS::MWAA::Environment").values()
    assert environment["AirflowVersion"] == {"Ref": "AirflowVersion"}
    offered = templates.read(BY_NAME["mwaa"])["Parameters"]["AirflowVersion"]
    assert offered["Default"] == versions.DEFAULT
    assert sorted(offered["AllowedValues"]) == versions.supported()
    options = environment["AirflowConfigurationOptions"]
    own = {
        f"{AIRFLOW_PREFIX}{name.removeprefix('game_analytics.').upper()}"
        for name in options
        if name.startswith("game_analytics.")
    }
    assert own <= {f"{AIRFLOW_PREFIX}{name}" for name in CHECKS}
    # Every setting that the stacks know is set, so that no value must be copied by hand.
    missing = {name for name in CHECKS if f"{AIRFLOW_PREFIX}{name}" not in own}
    assert missing == {
        # This one is for a single run, so it is in the form of a manual run instead.
        "ALLOW_LOST_ROWS",
        "CONNECTION_ID",
        "DBT_EXECUTABLE",
        "DEADLINE_MINUTES",
        "DUCKDB",
        "DUCKDB_MEMORY",
    }


def test_each_log_group_has_a_retention() -> None:
    """A group that a service makes by itself is kept for ever, with whatever its lines hold."""
    for name, path in BY_NAME.items():
        for group in templates.resources(path, "AWS::Logs::LogGroup").values():
            assert group["RetentionInDays"] == {"Ref": "LogDays"}, name
    groups = templates.resources(BY_NAME["mwaa"], "AWS::Logs::LogGroup")
    names = {templates.written(group["LogGroupName"]) for group in groups.values()}
    (environment,) = templates.resources(BY_NAME["mwaa"], "AWS::MWAA::Environment").values()
    # These are the names that MWAA's guide gives, one per kind of log.
    kinds = {"DAGProcessing", "Scheduler", "Task", "WebServer", "Worker"}
    assert names == {f"airflow-${{Name}}-{kind}" for kind in kinds}
    assert len(environment["LoggingConfiguration"]) == len(kinds)
    # MWAA makes a group that does not exist yet, so the groups must come first.
    (resource,) = (
        resource
        for resource in templates.read(BY_NAME["mwaa"])["Resources"].values()
        if resource["Type"] == "AWS::MWAA::Environment"
    )
    assert set(resource["DependsOn"]) == set(groups)


def test_the_settings_name_the_account_of_each_bucket() -> None:
    (container,) = task_definition()["ContainerDefinitions"]
    given = {one["Name"]: one["Value"] for one in container["Environment"]}
    (environment,) = templates.resources(BY_NAME["mwaa"], "AWS::MWAA::Environment").values()
    options = environment["AirflowConfigurationOptions"]
    own = {"Ref": "AWS::AccountId"}
    lake = {"Fn::If": ["HasLakeOwner", {"Ref": "LakeOwner"}, own]}
    assert (given[f"{PREFIX}LAKE_OWNER"], given[f"{PREFIX}DOCS_OWNER"]) == (lake, own)
    assert (options["game_analytics.lake_owner"], options["game_analytics.docs_owner"]) == (
        lake,
        own,
    )


def test_the_secrets_backend_is_that_of_the_documentation() -> None:
    (environment,) = templates.resources(BY_NAME["mwaa"], "AWS::MWAA::Environment").values()
    options = environment["AirflowConfigurationOptions"]
    readme = (ROOT / "include" / "aws" / "by-hand.md").read_text()
    documented = re.search(r"^ *backend_kwargs = (\{.*?\}\})$", readme, re.MULTILINE | re.DOTALL)
    assert documented
    for section, option in (("secrets", "backend"), ("workers", "secrets_backend")):
        assert f"backend = {options[f'{section}.{option}']}" in readme
        assert json.loads(options[f"{section}.{option}_kwargs"]) == json.loads(documented[1])


def test_exports_and_imports_match() -> None:
    exported = {
        templates.written(one["Export"]["Name"])
        for path in templates.TEMPLATES
        for one in templates.read(path).get("Outputs", {}).values()
        if "Export" in one
    }
    imported = {
        name
        for path in templates.TEMPLATES
        for name in re.findall(r'!ImportValue \{"Fn::Sub": "(.*?)"\}', path.read_text())
    }
    assert imported <= exported
    assert len(imported) > 10


def test_the_schedule_is_off_and_names_the_execution() -> None:
    template = templates.read(BY_NAME["build"])
    assert template["Parameters"]["Schedule"]["Default"] == ""
    for name in ("DailyBuild", "SchedulerRole", "Schedules", "ScheduleDropped"):
        assert template["Resources"][name]["Condition"] == "HasSchedule"
    target = template["Resources"]["DailyBuild"]["Properties"]["Target"]
    assert templates.written(target["Arn"]) == "arn:aws:scheduler:::aws-sdk:sfn:startExecution"
    request = json.loads(templates.written(target["Input"]))
    assert request == {"StateMachineArn": "${Machine}", "Name": "<aws.scheduler.execution-id>"}


def test_every_parameter_has_a_description() -> None:
    for path in templates.TEMPLATES:
        for name, parameter in templates.read(path)["Parameters"].items():
            assert parameter.get("Description"), (path.stem, name)
