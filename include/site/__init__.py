"""dbt's environment: what a run publishes for people, below the setting DOCS.

| file | does |
|---|---|
| `__main__.py` | the command `publish` |
| `publish.py` | makes the pages of a run, and switches readers to them with one file |
| `run_artifacts.py` | reads what the processes of a run have written, and merges their results |
| `runs.py` | the published runs: their `run.json`, the index page, the deletion of old runs |
| `docs_page.py` | makes dbt's documentation as a single page |
| `pages.py` | renders the page of a run and the index page |
| `assets.py` | describes every data asset, from the manifest alone |
| `report/` | writes the KPI report: numbers of the marts, charts and definitions on one page |
| `catalog/` | writes the data catalog |
| `lineage/` | finds the column lineage of all models, and follows personal data along it |
| `openlineage/` | sends the lineage of a published run to an OpenLineage backend |

Below DOCS:

- `index.html` lists the runs and names the latest one. It is the only file that readers start from,
  and it is written with one rename, or with one request to S3;
- `runs/<run>/run.json` describes the last publication of a run;
- `runs/<run>/site/<publication>/` has the pages and the merged artifacts of one publication. No
  file in it changes after the publication;
- `runs/<run>/<task>/…` has the artifacts as each process that ran dbt has written them.
"""
