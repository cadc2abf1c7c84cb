"""AWS's errors become one sentence that names the thing and the remedy; DOCS in a folder."""

from __future__ import annotations

import sys
from pathlib import Path
from subprocess import run
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
    ProfileNotFound,
    ReadTimeoutError,
)

from include import object_store
from include.deployment.mwaa import target
from include.object_store import AwsError, aws_client, aws_errors, open_documents, s3_client
from include.settings import ROOT, UserError


def answer(code: str) -> ClientError:
    """AWS's answer with an error code."""
    return ClientError({"Error": {"Code": code, "Message": "Not\nso."}}, "PutObject")


@pytest.mark.parametrize(
    ("error", "kind", "sentence"),
    [
        (NoCredentialsError(), "unconfigured", r"reached \(Unable .*\): give this process a role"),
        (NoRegionError(), "unconfigured", r"reached \(You must .*\): .* set AWS_PROFILE"),
        (ProfileNotFound(profile="p"), "unconfigured", r"reached \(.*\(p\).*\): .*AWS_PROFILE"),
        (EndpointConnectionError(endpoint_url="u"), "unreachable", r"reached \(.*\): .*a network"),
        (ReadTimeoutError(endpoint_url="u"), "unreachable", r"reached \(.*\): .*a network route"),
        (ParamValidationError(report="r"), "other", r"used \(Param.*\): repair what AWS names"),
        (answer("AccessDenied"), "denied", r"used \(.*AccessDenied.*: Not so\): give this role"),
        (answer("UnauthorizedOperation"), "denied", r"used \(.*\): give this role the right"),
        (answer("403"), "denied", r"used \(.*\): give this role the right"),
        (answer("NoSuchBucket"), "missing", r"used \(.*\): create it or name another"),
        (answer("InvalidSubnetID.NotFound"), "missing", r"used \(.*\): create it"),
        (answer("404"), "missing", r"used \(.*\): create it"),
        (answer("ExpiredTokenException"), "expired", r"used \(.*\): the credentials have expired"),
        (answer("SlowDown"), "throttled", r"used \(.*\): AWS refuses this rate of requests"),
        (answer("ThrottlingException"), "throttled", r"used \(.*\): AWS refuses this rate"),
        (answer("InternalError"), "other", r"used \(.*\): repair what AWS names"),
    ],
)
def test_every_kind_of_error_has_a_remedy(
    error: BotoCoreError | ClientError, kind: str, sentence: str
) -> None:
    with (
        pytest.raises(AwsError, match=f"^the thing cannot be {sentence}.*[.]$") as caught,
        aws_errors("the thing"),
    ):
        raise error
    assert caught.value.kind == kind


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        ("NoSuchKey", "by code"),
        ("NoSuchBucket", "by kind"),
        ("AccessDenied", "general"),
        ("InternalError", "general"),
        # Another role or bucket does not help against these.
        ("ExpiredToken", "the credentials have expired or are wrong: renew them and run again"),
        ("SlowDown", "AWS refuses this rate of requests: wait a minute and run again"),
    ],
)
def test_the_remedy_of_the_caller_comes_first(code: str, remedy: str) -> None:
    with (
        pytest.raises(AwsError, match=rf"cannot be written \(.*\): {remedy}[.]$") as caught,
        aws_errors("it", "written", "general", missing="by kind", NoSuchKey="by code"),
    ):
        raise answer(code)
    assert caught.value.code == code


def test_a_client_of_a_missing_profile_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "no-such-profile")
    with pytest.raises(UserError, match=r"service s3 .*no-such-profile.* set AWS_PROFILE"):
        aws_client("s3")


def test_the_module_does_not_import_boto3() -> None:
    program = "import sys, include.object_store; sys.exit('botocore' in sys.modules)"
    assert run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[AWSPreparedRequest]:
    """The requests of every S3 client that is made from now on; each gets an empty answer."""
    requests: list[AWSPreparedRequest] = []
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    make = object_store.aws_client

    def answered(request: AWSPreparedRequest, **_: object) -> AWSResponse:
        requests.append(request)
        headers = {"content-length": "4"} if request.method == "HEAD" else {}
        raw = SimpleNamespace(stream=lambda *_, **__: iter([b""]), read=lambda *_: b"")
        return AWSResponse(request.url, 200, headers, raw)

    def client(service: str, **options: Any) -> Any:
        made = make(service, **options)
        made.meta.events.register(f"before-send.{service}", answered)
        return made

    monkeypatch.setattr(object_store, "aws_client", client)
    return requests


@pytest.mark.parametrize("owner", ["123456789012", ""])
def test_every_request_to_a_bucket_names_its_owner(
    sent: list[AWSPreparedRequest], owner: str
) -> None:
    documents = open_documents("s3://docs/site", owner)
    documents.write("a", b"x")
    documents.read("a")
    documents.names("")
    client = s3_client(owner)
    client.copy({"Bucket": "docs", "Key": "a"}, "docs", "b")
    client.delete_object(Bucket="docs", Key="a")
    client.head_object(Bucket="docs", Key="a")
    client.get_bucket_versioning(Bucket="docs")
    client.get_public_access_block(Bucket="docs")
    assert len(sent) >= 9
    named = [request.headers.get("x-amz-expected-bucket-owner", "") for request in sent]
    assert {name.decode() if isinstance(name, bytes) else name for name in named} == {owner}
    (copy,) = [request for request in sent if "x-amz-copy-source" in request.headers]
    assert ("x-amz-source-expected-bucket-owner" in copy.headers) == bool(owner)


def test_a_deploy_uploads_only_into_a_bucket_of_its_own_account(
    sent: list[AWSPreparedRequest], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(target, "own_account", lambda: "123456789012")
    (tmp_path / "dag.py").write_text("x")
    target.Target("games", "code").put("dags/dag.py", tmp_path / "dag.py")
    (put,) = sent
    assert put.headers["x-amz-expected-bucket-owner"] in {"123456789012", b"123456789012"}


def test_files_in_a_folder(tmp_path: Path) -> None:
    documents = open_documents(str(tmp_path / "docs"))
    assert documents.names("runs") == []
    assert documents.read("runs/1/a.json") is None
    documents.write("runs/1/b.json", b"b")
    documents.write("runs/1/a.json", b"a")
    assert documents.read("runs/1/a.json") == b"a"
    assert documents.names("runs") == ["runs/1/a.json", "runs/1/b.json"]


def test_a_root_that_is_a_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "docs").write_text("")
    with pytest.raises(UserError, match=r"docs cannot be used \(.*set GAME_ANALYTICS_DOCS"):
        open_documents(str(tmp_path / "docs")).write("a", b"x")
