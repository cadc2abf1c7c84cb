"""A checkout only: makes the package for MWAA and uploads it.

| file | does |
|---|---|
| `package.py` | `make package`: makes the package in `dist/mwaa` |
| `versions.py` | the versions of Airflow for which there are locks |
| `wheels.py` | downloads the wheels, for a network without a package index |
| `deploy.py` | `make deploy`: carries out a plan |
| `plan.py` | compares the package with the bucket and the environment |
| `target.py` | reads and writes the bucket and the environment |
"""
