"""Run the stand-in until SIGTERM or until standard input closes.

The command is `python -m tests.redshift_standin FOLDER`. It prints the login as one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import signal
import sys
from pathlib import Path

from tests.redshift_standin.cluster import Cluster


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.redshift_standin", description=__doc__)
    parser.add_argument(
        "folder",
        type=Path,
        help="holds the data, the logs and the control folder; "
        "the folder of an earlier stand-in is emptied first",
    )
    parser.add_argument("--port", type=int, help="the proxy's port; default: a free port")
    parser.add_argument("--s3-endpoint", default=os.environ.get("AWS_ENDPOINT_URL"))
    arguments = parser.parse_args()

    stop_read, stop_write = os.pipe()

    def stop(*_: object) -> None:
        os.write(stop_write, b".")

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    with Cluster.start(
        arguments.folder, s3_endpoint=arguments.s3_endpoint, port=arguments.port
    ) as cluster:
        print(
            json.dumps(
                {
                    "host": cluster.host,
                    "port": cluster.port,
                    "user": cluster.user,
                    "password": cluster.password,
                    "dbname": cluster.database,
                    "control": str(cluster.control.folder),
                    "superuser_port": cluster.postgres.port,
                    "ca": str(cluster.certificate),
                }
            ),
            flush=True,
        )
        while True:
            ready, _, _ = select.select([sys.stdin, stop_read], [], [])
            if stop_read in ready or not os.read(sys.stdin.fileno(), 4096):
                return


if __name__ == "__main__":
    main()
