"""`python -m tests.support.redshift_bootstrap JSON` does what an administrator does once.

The script `include/aws/bootstrap.sql` as it is shipped, for the prefix `{"prefix": …}`, and the
password `{"password": …}` of the user that it makes.
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
    """The script's statements, with the prefix where its remarks say that it belongs."""
    script = Path(SCRIPT).read_text()
    if prefix:
        script = re.sub(rf"\b({SCHEMAS})\b", rf"{prefix}\1", script)
        script = script.replace("'game_analytics'", f"'{prefix}game_analytics'")
    found = (sqlparse.format(text, strip_comments=True) for text in sqlparse.split(script))
    return [text.rstrip("; \n") for text in found if text.strip("; \n")]


def main(password: str, prefix: str = "") -> None:
    """Run it as the user of the variables REDSHIFT_*; users and roles may be there already."""
    with redshift.connected() as database:
        known = {name for (name,) in database.rows("select usename from pg_user")}
        for statement in statements(prefix):
            if not (known & {"dbt"} and statement.startswith(("create user", "create role"))):
                database.execute(statement)
        database.execute(f"alter user dbt password {redshift.literal(password)}")


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
