"""dbt's environment: the KPI report, one HTML page with the numbers of the marts.

| file | does |
|---|---|
| `page.py` | writes the page: reads the marts, makes the panels and renders the templates |
| `queries.py` | reads the rows of each section with one query per mart |
| `periods.py` | the periods of the report, and the days that the marts have of them |
| `metrics.py` | the metrics: how the figure of a period is made of rows, and its change |
| `sections.py` | makes figures, charts and tables of one application and period |
| `whole_product.py` | makes figures, charts and tables of betting and data health |
| `heat_map.py` | groups cohorts into the rows of the heat map |
| `daily.py` | charts with a point per day, or per week of a long period |
| `charts.py` | the geometry of line and column charts |
| `scales.py` | axes with round ticks |
| `formats.py` | numbers and days as text |
| `definitions.py` | reads what a metric means from dbt's manifest |

`templates/` has the page, the style that only the report has, and the script of the charts.
"""

from include.site.report.page import write_report

__all__ = ["write_report"]
