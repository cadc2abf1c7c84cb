"""dbt's environment: column lineage by sqlglot, over the SQL that dbt has compiled.

| file | does |
|---|---|
| `edges.py` | the edges between columns, and all of them as one result |
| `project.py` | reads the manifest, and follows its nodes from the sources to the marts |
| `cache.py` | keeps the result of each node for the next run |
| `query.py` | finds what each column of one query is made of |
| `qualified.py` | parses the SQL of a node, and lets sqlglot name the table of each column |
| `expressions.py` | finds the columns that an expression uses, and how |
| `frames.py` | the sources that a query reads: tables, subqueries, sets of rows, functions |
| `json_paths.py` | the path inside a JSON text that an expression reads |
| `templates.py` | finds the places where an expression has a given form |
| `personal_data.py` | follows marks of personal data along the edges, and finds leaks |
| `compiled.py` | compiles the project with dbt |
| `page.py` | renders the graph of data sets and columns |
"""

from include.site.lineage.edges import ROWS, Column, ColumnLineage, Edge, Kind, Unresolved
from include.site.lineage.project import column_lineage

__all__ = ["ROWS", "Column", "ColumnLineage", "Edge", "Kind", "Unresolved", "column_lineage"]
