"""What the catalog shows of an asset, and the layer under which it lists the asset."""

from __future__ import annotations

from dataclasses import dataclass

from include.site.assets import Asset
from include.site.catalog.outcomes import Outcome
from include.site.catalog.sizes import Size

LAYERS = ("Lake", "External tables", "Seeds", "Staging", "Intermediate", "Snapshots", "Marts")
"""The layers in the order in which data flows. Other schemas follow, and exposures are last."""


@dataclass(frozen=True)
class Entry:
    """What the catalog shows of an asset: the asset, how it ended in this run, and its size.

    `status` is the worst of the asset's own and of its tests, empty if the run built and tested
    neither. `freshness` is dbt's status of a source in this run.
    """

    asset: Asset
    outcome: Outcome | None
    status: str
    size: Size
    freshness: str

    @property
    def summary(self) -> str:
        """The first sentence of the definition."""
        first = self.asset.description.partition(". ")[0].rstrip(".")
        return f"{first}." if first else ""

    @property
    def search(self) -> str:
        """The text in which the search looks."""
        asset = self.asset
        columns = (column.name for column in asset.columns)
        words = (asset.name, asset.kind, asset.location, asset.owner.name, *asset.tags, *columns)
        return " ".join(words).lower()


def layer(asset: Asset) -> str:
    """The layer of an asset, under which the catalog lists it."""
    by_kind = {
        "folder": "Lake",
        "external table": "External tables",
        "seed": "Seeds",
        "snapshot": "Snapshots",
        "exposure": "Exposures",
    }
    if asset.kind in by_kind:
        return by_kind[asset.kind]
    folder, slash, _ = asset.file.removeprefix("dbt/models/").partition("/")
    return folder.capitalize() if slash and asset.file.startswith("dbt/models/") else "Models"


def layer_order(asset: Asset) -> tuple[int, str]:
    """The key by which the catalog sorts assets: the place of the layer, and its name."""
    name = layer(asset)
    if name == "Exposures":
        return len(LAYERS) + 1, name
    return LAYERS.index(name) if name in LAYERS else len(LAYERS), name
