"""Generates a dbt project of 200 models, or a multiple, in eight layers of `range()` alone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

STAGING, INTERMEDIATE, MARTS = 40, (20, 20, 20, 20), (30, 30, 20)
"""The number of models in each layer. The first layer has views, all others have tables."""
KEYS = 500
TABLE_ROWS = 9_000_000
"""The rows that each table aggregates. With them a plain build takes about 75 s on two cores."""
VIEW_ROWS = 100_000

PROJECT = """\
name: game_analytics
version: 1.0.0
config-version: 2
profile: game_analytics
flags: {send_anonymous_usage_stats: false}
models:
  game_analytics:
    staging: {+schema: staging, +materialized: view}
    intermediate: {+schema: intermediate, +materialized: table}
    marts: {+schema: marts, +materialized: table}
"""
PROFILES = """\
game_analytics:
  target: local
  outputs:
    local:
      type: duckdb
      path: "{{ env_var('GAME_ANALYTICS_DUCKDB') }}"
      schema: main
      threads: 2
      retries: {connect_attempts: 10}
"""
VIEW = """\
select key_id, sum(amount) as amount
from (select range % {keys} as key_id, hash(range + {seed}) % 1000 as amount from range({rows}))
group by 1
"""
TABLE = """\
with work as (
    select
        hash(range) % {keys} as key_id,
        sum(hash(range + {seed}) % 1000) as amount
    from range({rows})
    group by 1
)

select key_id, work.amount + one.amount % 7 + other.amount % 7 as amount
from work
inner join {{{{ ref('{one}') }}}} as one using (key_id)
inner join {{{{ ref('{other}') }}}} as other using (key_id)
"""
ACROSS = """\
select key_id from {{{{ ref('{one}') }}}}
except
select key_id from {{{{ ref('{other}') }}}}
"""


@dataclass(frozen=True)
class Model:
    """A model with the names of its parents."""

    folder: str
    name: str
    parents: tuple[str, ...]


def models(multiple: int = 1) -> Iterator[Model]:
    """Yield all models, each after its two parents in the layer above. Every model but the last
    layer's has children. Each layer has `multiple` times as many models.
    """
    above = [f"stg_{number:02}" for number in range(STAGING * multiple)]
    for name in above:
        yield Model("staging", name, ())
    layers = [("intermediate", "int", size) for size in INTERMEDIATE]
    layers += [("marts", "fct", size) for size in MARTS]
    for depth, (folder, prefix, size) in enumerate(layers, 1):
        names = [f"{prefix}_{depth}_{number:02}" for number in range(size * multiple)]
        for number, name in enumerate(names):
            first = 2 * number % len(above)
            yield Model(folder, name, (above[first], above[(first + 1) % len(above)]))
        above = names


def write(root: Path, multiple: int = 1) -> None:
    """Write the project of `models` into an emptied folder. Models have two or three tests by
    turns.
    """
    shutil.rmtree(root, ignore_errors=True)
    files = {"dbt_project.yml": PROJECT, "profiles.yml": PROFILES}
    name = ""
    for seed, model in enumerate(models(multiple)):
        name, path = model.name, f"models/{model.folder}/{model.name}"
        values = {"keys": KEYS, "seed": seed}
        if model.parents:
            one, other = model.parents
            files[f"{path}.sql"] = TABLE.format(one=one, other=other, rows=TABLE_ROWS, **values)
        else:
            files[f"{path}.sql"] = VIEW.format(rows=VIEW_ROWS, **values)
        tests = ["unique, not_null", "not_null"][: 1 + seed % 2]
        columns = "".join(
            f"      - {{name: {column}, data_tests: [{those}]}}\n"
            for column, those in zip(("key_id", "amount"), tests, strict=False)
        )
        files[f"{path}.yml"] = f"models:\n  - name: {name}\n    columns:\n{columns}"
    # A test with two parents, as every real project has one.
    files["tests/assert_no_key_is_lost.sql"] = ACROSS.format(one="stg_00", other=name)
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(content)
