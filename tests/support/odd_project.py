"""A dbt project with nodes whose names are hard to tell apart.

It has two versions of one model, names with a dot, and a model and tests that are named like a
folder. Several snapshots and tests share a file.
"""

from __future__ import annotations

from pathlib import Path

FILES = {
    "dbt_project.yml": "{name: game_analytics, version: 1.0.0, config-version: 2, profile: p}\n",
    "profiles.yml": (
        "p: {target: local, outputs: {local: {type: duckdb, path: ':memory:', schema: main}}}\n"
    ),
    # A version is one model of several with the same name.
    "models/marts/dim_levels_v1.sql": "select 1 as level_id",
    "models/marts/dim_levels_v2.sql": "select 2 as level_id",
    "models/marts/rpt.weekly.sql": "select level_id from {{ ref('dim_levels', v=1) }}",
    # A model and a folder beside it, each called `betting`.
    "models/marts/betting.sql": "select level_id from {{ ref('dim_levels') }}",
    "models/marts/betting/fct_odds.sql": "select 1 as odd_id",
    "models/marts/betting/deep/dim_odds.sql": "select odd_id from {{ ref('fct_odds') }}",
    "models/with space/spaced.sql": "select 1 as level_id",
    "models/marts/nodes.yml": """
models:
  - name: dim_levels
    latest_version: 2
    versions: [{v: 1}, {v: 2}]
    columns: [{name: level_id, data_tests: [unique, not_null]}]
  - name: rpt.weekly
    columns:
      - name: level_id
        data_tests: [unique, {relationships: {arguments: {to: ref('fct_odds'), field: odd_id}}}]
  - name: betting
    columns: [{name: level_id, data_tests: [not_null]}]
snapshots:
  - name: levels_history
    relation: ref('dim_levels', v=1)
    config: {schema: snapshots, unique_key: level_id, strategy: check, check_cols: all}
  - name: weeks_history
    relation: ref('rpt.weekly')
    config: {schema: snapshots, unique_key: level_id, strategy: check, check_cols: all}
""",
    "snapshots/histories.sql": "".join(
        f"{{% snapshot {name} %}}{{{{ config(schema='snapshots', unique_key='odd_id', "
        "strategy='check', check_cols='all') }}select * from {{ ref('fct_odds') }}"
        "{% endsnapshot %}\n"
        for name in ("histories", "odds_history")
    ),
    "seeds/marts/odds.csv": "odd_id\n1\n",
    # Tests of two models whose bare names would select every node of a folder.
    **{
        f"tests/{name}.sql": (
            "select odd_id from {{ ref('fct_odds') }} "
            "join {{ ref('dim_odds') }} using (odd_id) where false"
        )
        for name in ("marts", "deep")
    },
}
"""The files of the project by their path."""

TASK_IDS = {
    "model.game_analytics.betting": "betting",
    "model.game_analytics.dim_levels.v1": "dim_levels_v1",
    "model.game_analytics.dim_levels.v2": "dim_levels_v2",
    "model.game_analytics.dim_odds": "dim_odds",
    "model.game_analytics.fct_odds": "fct_odds",
    "model.game_analytics.rpt.weekly": "rpt_weekly",
    "model.game_analytics.spaced": "spaced",
    "seed.game_analytics.odds": "odds",
    "snapshot.game_analytics.histories": "histories",
    "snapshot.game_analytics.levels_history": "levels_history",
    "snapshot.game_analytics.odds_history": "odds_history",
    "snapshot.game_analytics.weeks_history": "weeks_history",
}
"""The task id of each node."""


def write_project(folder: Path) -> None:
    """Write the project into the folder."""
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
