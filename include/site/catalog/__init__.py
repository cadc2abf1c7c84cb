"""dbt's environment: the data catalog, a page for each asset, from the S3 folder to the dashboard.

| file | what it does |
|---|---|
| `sizes.py` | rows and bytes of the tables, files and bytes of the folders |
| `outcomes.py` | how each asset and test ended in this run and in the last ones |
| `rules.py` | reads grants, masks and lifecycle rules from the warehouse and the lake's bucket |
| `enforcement.py` | compares the policies of an asset with these rules |
| `project_lineage.py` | finds the column lineage of the project, or takes over the latest one |
| `entries.py` | puts together what the catalog shows of an asset |
| `asset_page.py` | renders the page of an asset |
| `catalog.py` | writes `catalog.html`, `lineage.html` and a page per asset |
"""

from include.site.catalog.catalog import write_catalog

__all__ = ["write_catalog"]
