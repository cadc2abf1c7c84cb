"""Settings: their sources, and the values that each setting refuses."""

from __future__ import annotations

from dataclasses import fields

import pytest

from include.settings import CHECKS, ROOT, SettingError, Settings


def test_defaults_are_usable_as_they_are() -> None:
    settings = Settings.from_env({})
    assert settings.lake == str(ROOT / "data" / "lake")
    assert settings.reporting_currency == "USD"
    assert settings.target == "local"


def test_every_setting_has_a_check() -> None:
    assert set(CHECKS) == {field.name.upper() for field in fields(Settings)}


def test_the_package_s_own_variable_has_precedence_over_airflow_s() -> None:
    airflow = {"AIRFLOW__GAME_ANALYTICS__REPORTING_CURRENCY": "EUR"}
    assert Settings.from_env(airflow).reporting_currency == "EUR"
    both = airflow | {"GAME_ANALYTICS_REPORTING_CURRENCY": "JPY"}
    assert Settings.from_env(both).reporting_currency == "JPY"


def test_another_process_reads_the_same_settings_from_the_variables() -> None:
    settings = Settings.from_env({"GAME_ANALYTICS_SCHEMA_PREFIX": "ann_"})
    assert Settings.from_env(settings.as_environment()) == settings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LAKE", "s3://bucket/lake"),
        ("LAKE", "s3://Bucket/lake"),
        ("LAKE", "s3://bucket//lake"),
        ("LAKE", "s3://"),
        ("LAKE", ""),
        ("CONNECTION_ID", "airflow/connections/x"),
        ("GLUE_DATABASE", "Game-Analytics"),
        ("SPECTRUM_ROLE", "spectrum"),
        ("READERS", "analysts"),
        ("READERS", "role:analysts; drop"),
        ("READERS", 'role:"analysts"'),
        ("READERS", 'role:an"alysts'),
        ("READERS", "role:an'alysts"),
        ("READERS", "role:"),
        ("READERS", "role:-x"),
        ("READERS", "role:" + 128 * "a"),
        ("UNMASKED_READERS", ""),
        ("UNMASKED_READERS", "none"),
        ("UNMASKED_READERS", "group:bi"),
        ("UNMASKED_READERS", "role:fraud, group:bi"),
        ("UNMASKED_READERS", "nobody,role:fraud"),
        ("OPENLINEAGE_URL", "lineage.example.com"),
        ("OPENLINEAGE_URL", "ftp://lineage.example.com"),
        ("OPENLINEAGE_URL", "https://a b"),
        ("OPENLINEAGE_NAMESPACE", ""),
        ("OPENLINEAGE_NAMESPACE", "a b"),
        ("DUCKDB", ""),
        ("TARGET", "snowflake"),
        ("EXECUTION", "kubernetes"),
        ("SCHEDULE", "every day"),
        ("SCHEDULE", "61 99 * * *"),
        ("SCHEDULE", "@sometimes"),
        ("SCHEDULE", "0 0 30 2 *"),
        ("SCHEDULE", "0 0 31 4,6 *"),
        ("SCHEDULE", "30 4 * * * *"),
        ("SCHEDULE", "@midnight"),
        ("SCHEDULE", "*/0 * * * *"),
        ("SCHEDULE", "0 0 0 * *"),
        ("SCHEDULE", "0 0 * * fun"),
        ("SCHEDULE", "0 0 * *"),
        ("SCHEDULE", ""),
        ("REPORTING_CURRENCY", "usd"),
        ("REPORTING_CURRENCY", "US'; drop"),
        ("SCHEMA_PREFIX", "Ann-"),
        ("EARLIEST_DATE", ""),
        ("EARLIEST_DATE", "2010"),
        ("EARLIEST_DATE", "20100101"),
        ("EARLIEST_DATE", "2010-02-30"),
        ("EARLIEST_DATE", "1969-12-31"),
        ("EARLIEST_DATE", "9999-01-01"),
        ("EARLIEST_DATE", "2010-01-01' or '1"),
        ("LATE_DAYS", "-1"),
        ("LATE_DAYS", "0"),
        ("LATE_DAYS", "many"),
        ("ALERT_TOPIC_ARN", "on-call"),
        ("ALERT_TOPIC_ARN", "arn:aws:sqs:eu-central-1:123456789012:on-call"),
        ("ALERT_TOPIC_ARN", "arn:aws:sns:eu-central-1:1234:on-call"),
        # The ARN of a FIFO topic, which needs a message group to publish.
        ("ALERT_TOPIC_ARN", "arn:aws:sns:eu-central-1:123456789012:on-call.fifo"),
        ("DEADLINE_MINUTES", "0"),
        ("DEADLINE_MINUTES", "-5"),
        ("DEADLINE_MINUTES", "1.5"),
        ("DEADLINE_MINUTES", "10081"),
        ("DEADLINE_MINUTES", "2h"),
        ("DBT_EXECUTABLE", ""),
        ("LAKES", "data"),
    ],
)
def test_a_wrong_value_names_the_setting_and_the_remedy(name: str, value: str) -> None:
    with pytest.raises(SettingError) as caught:
        Settings.from_env({f"GAME_ANALYTICS_{name}": value})
    assert f"GAME_ANALYTICS_{name}" in str(caught.value)
    assert repr(value) in str(caught.value)
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ALERT_TOPIC_ARN", ""),
        ("ALERT_TOPIC_ARN", "arn:aws:sns:eu-central-1:123456789012:on-call"),
        ("ALERT_TOPIC_ARN", "arn:aws-us-gov:sns:us-gov-west-1:123456789012:On_Call"),
        *(("DEADLINE_MINUTES", minutes) for minutes in ("", "1", "9999", "10000", "10080")),
    ],
)
def test_a_valid_value_is_accepted(name: str, value: str) -> None:
    settings = Settings.from_env({f"GAME_ANALYTICS_{name}": value})
    assert getattr(settings, name.lower()) == value


@pytest.mark.parametrize(
    "value",
    [
        *("none", "@once", "@hourly", "@daily", "@weekly", "@monthly", "@quarterly", "@yearly"),
        *(
            "30 4 * * *",
            "*/5 0-6/2 1,15 jan-MAR Mon",
            "5/15 * * * 7",
            "0 22-5 * * fri-mon",
            "0 0 29 feb *",
            "0 0 31 4,5 *",
        ),
    ],
)
def test_a_valid_schedule_is_valid_for_airflow_too(value: str) -> None:
    assert Settings.from_env({"GAME_ANALYTICS_SCHEDULE": value}).schedule == value
    if value not in {"none", "@once"}:
        timetables = pytest.importorskip(
            "airflow.timetables.trigger",
            reason="Airflow's timetable exists only in its environment",
        )
        timetables.CronTriggerTimetable(value, timezone="UTC").validate()


def test_redshift_and_s3_go_together() -> None:
    s3 = {"GAME_ANALYTICS_LAKE": "s3://my-bucket/games/lake/"}
    redshift = {"GAME_ANALYTICS_TARGET": "redshift"}
    settings = Settings.from_env(s3 | redshift)
    assert settings.lake == "s3://my-bucket/games/lake"
    assert settings.is_s3
    with pytest.raises(SettingError, match="Redshift reads only S3"):
        Settings.from_env(redshift)
    with pytest.raises(SettingError, match="needs GAME_ANALYTICS_TARGET=redshift"):
        Settings.from_env(s3)


def test_readers_are_a_list_without_spaces() -> None:
    settings = Settings.from_env({"GAME_ANALYTICS_READERS": " role:analysts, group:bi ,"})
    assert settings.readers == "role:analysts,group:bi"


@pytest.mark.parametrize("value", ["everyone", "nobody", "role:fraud,user:IAM:ann"])
def test_readers_without_a_mask_are_everyone_nobody_or_a_list(value: str) -> None:
    settings = Settings.from_env({"GAME_ANALYTICS_UNMASKED_READERS": value})
    assert settings.unmasked_readers == value


def test_a_reader_may_have_the_name_of_an_iam_role_or_of_an_identity_provider() -> None:
    readers = "user:IAMR:bi-role,role:AWSIDC:data.team,group:bi-eu,user:IAM:rita@example.com"
    assert Settings.from_env({"GAME_ANALYTICS_READERS": readers}).readers == readers


def test_the_address_of_a_backend_can_have_a_path_and_no_password() -> None:
    def url(text: str) -> str:
        return Settings.from_env({"GAME_ANALYTICS_OPENLINEAGE_URL": text}).openlineage_url

    assert url("https://lineage.example.com:8443/marquez/") == (
        "https://lineage.example.com:8443/marquez"
    )
    assert url("http://[::1]:5000") == "http://[::1]:5000"
    for bad in ("https://ann:secret@example.com", "https://example.com?key=secret"):
        with pytest.raises(SettingError, match="OPENLINEAGE_API_KEY") as refused:
            url(bad)
        assert "secret" not in str(refused.value)
