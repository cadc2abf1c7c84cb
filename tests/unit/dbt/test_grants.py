"""The SQL of grants and revokes on Redshift: every name is in quotes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("dbt.adapters.redshift", reason="runs in dbt's environment")

from include.settings import ROOT

GRANTEES = ["user:IAMR:bi-role", "role:aad:data.team", "group:bi-eu", "role:analysts", 'a"b']
FORMATTED = '"IAMR:bi-role", role "aad:data.team", group "bi-eu", role "analysts", "a""b"'


@pytest.mark.parametrize(("macro", "word"), [("get_grant_sql", "to"), ("get_revoke_sql", "from")])
def test_grants_and_revokes_quote_each_name(tmp_path: Path, macro: str, word: str) -> None:
    relation = "api.Relation.create(schema='marts', identifier='fct_bets')"
    project = ["--project-dir", str(ROOT / "dbt"), "--profiles-dir", str(ROOT / "dbt")]
    compiled = subprocess.run(
        [
            str(Path(sys.executable).with_name("dbt")),
            *("--quiet", "--no-use-colors", "compile", "--target", "redshift", *project),
            *("--no-introspect", "--no-populate-cache"),
            *("--inline", f"{{{{ {macro}({relation}, 'select', {GRANTEES}) }}}}"),
        ],
        env={name: value for name, value in os.environ.items() if "GAME_ANALYTICS_" not in name}
        | {
            "DBT_TARGET_PATH": str(tmp_path),
            "DBT_LOG_PATH": str(tmp_path),
            "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert compiled.returncode == 0, compiled.stdout + compiled.stderr
    verb = macro.split("_")[1]
    expected = f'{verb} select on "marts"."fct_bets" {word} {FORMATTED}'
    assert " ".join(compiled.stdout.split()) == expected
