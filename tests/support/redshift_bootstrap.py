"""`python -m tests.support.redshift_bootstrap JSON` runs `include/aws/bootstrap.sql`.

An administrator runs that script once. The JSON gives a prefix of the schemas, `{"prefix": …}`, and
the password of the user that the script makes, `{"password": …}`.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import sqlparse

from include.settings import ROOT
from include.warehouse import redshift

SCRIPT = ROOT / "include" / "aws" / "bootstrap.sql"
SCHEMAS = "staging|intermediate|marts|snapshots|reference|operations|spectrum"


def statements(prefix: str = "") -> list[str]:
    """The statements of the script, with the prefix where its comments require it."""
    script = Path(SCRIPT).read_text()
    if prefix:
        script = re.sub(rf"\b({SCHEMAS})\b", rf"{prefix}\1", script)
        script = script.replace("'game_analytics'", f"'{prefix}game_analytics'")
    found = (sqlparse.format(text, strip_comments=True) for text in sqlparse.split(script))
    return [text.rstrip("; \n") for text in found if text.strip("; \n")]


def main(password: str, prefix: str = "") -> None:
    """Run the script as the user of the variables REDSHIFT_*. Users and roles may exist already."""
    with redshift.connected() as database:
        known = {name for (name,) in database.rows("select usename from pg_user")}
        for statement in statements(prefix):
            if not (known & {"dbt"} and statement.startswith(("create user", "create role"))):
                database.execute(statement)
        database.execute(f"alter user dbt password {redshift.literal(password)}")


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
