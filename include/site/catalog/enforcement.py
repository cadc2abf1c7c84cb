"""Whether the policies of an asset are enforced: each with its object, or the reason why not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from include.settings import Settings
from include.site.assets import FOLDER, Asset
from include.site.catalog.rules import Expirations, Rules
from include.site.lineage.personal_data import Mark, policies

Name = Literal["Grants", "Masking", "Retention"]
State = Literal["enforced", "not enforced", "unknown"]
TABLES = {"seed", "model", "snapshot"}
"""The kinds of assets that are tables or views of the warehouse."""
RAW = ("raw_events", "rejected_events")
"""The folders of the lake whose files a lifecycle rule deletes."""
UNREADABLE = "the warehouse could not be read"
NO_READERS = "The project grants it to nobody. An administrator may have granted it."
NO_USERS = "DuckDB has no users: whoever can read the file reads every table"
NO_MASKING = "DuckDB has no masking"


@dataclass(frozen=True)
class Policy:
    """A policy of an asset, the columns that it is about, and whether it is enforced.

    `declared` is what the project declares, as sentences. `reason` says by which object the policy
    is enforced, or why it is not.
    """

    name: Name
    columns: Sequence[str]
    declared: str
    state: State
    reason: str


@dataclass(frozen=True)
class Protection:
    """What is known of the rules; `rules` is None if the warehouse could not be read."""

    settings: Settings
    rules: Rules | None
    expirations: Expirations

    def policies(self, asset: Asset, marks: Mapping[str, Mark]) -> list[Policy]:
        """The policies of an asset. `marks` has the marks of its columns, or of its external table
        for a folder, by the names of the columns in lower case.
        """
        found = [self._grants(asset)] if asset.kind in TABLES and asset.location else []
        if asset.kind != "folder":
            found += self._masking(asset, marks)
        if marks:
            found.append(self._retention(asset, marks))
        return found

    def _grants(self, asset: Asset) -> Policy:
        who = f"{_listed(asset.readers)} may read it." if asset.readers else NO_READERS
        if self.settings.target == "local":
            return Policy("Grants", (), who, "not enforced", NO_USERS)
        if self.rules is None:
            return Policy("Grants", (), who, "unknown", UNREADABLE)
        return Policy("Grants", (), who, *_compared(asset, self.rules))

    def _masking(self, asset: Asset, marks: Mapping[str, Mark]) -> Iterator[Policy]:
        """The masking of identifiers; columns with the same state and reason are together."""
        by_outcome: dict[tuple[str, State, str], list[str]] = {}
        for column, mark in marks.items():
            if declared := policies()[mark].masking:
                outcome = (declared, *self._mask(asset, column))
                by_outcome.setdefault(outcome, []).append(column)
        for outcome, columns in by_outcome.items():
            yield Policy("Masking", columns, *outcome)

    def _mask(self, asset: Asset, column: str) -> tuple[State, str]:
        if self.settings.target == "local":
            return "not enforced", NO_MASKING
        if asset.kind == "external table":
            return "not enforced", "Redshift cannot mask an external table"
        if self.rules is None:
            return "unknown", UNREADABLE
        mask = self.rules.masks.get((asset.location, column))
        if mask is None:
            return self._unmasked(asset, self.rules)
        if mask.policy.startswith(f"{self.settings.schema_prefix}game_analytics_masked_"):
            return "enforced", f"by a masking policy for everyone but {_listed(mask.exempt)}"
        return "unknown", f"policy `{mask.policy}`, which this package did not make, is attached"

    def _unmasked(self, asset: Asset, rules: Rules) -> tuple[State, str]:
        if asset.location.partition(".")[0] != f"{self.settings.schema_prefix}marts":
            return "not enforced", "only the marts are masked, because only they have readers"
        if self.settings.unmasked_readers == "everyone":
            return "not enforced", "the setting UNMASKED_READERS is everyone"
        if not rules.sees_masks:
            return "unknown", f"user `{rules.user}` may not see masking policies"
        return "not enforced", "no masking policy is attached"

    def _retention(self, asset: Asset, marks: Mapping[str, Mark]) -> Policy:
        def policy(state: State, reason: str) -> Policy:
            columns = () if asset.kind == "folder" else list(marks)
            declared = policies()[max(marks.values())].retention
            return Policy("Retention", columns, declared, state, reason)

        if asset.kind not in {"folder", "external table"}:
            return policy("not enforced", "nothing deletes rows of the warehouse by itself")
        folder = asset.unique_id.removeprefix(FOLDER).rpartition(".")[2]
        if folder not in RAW:
            return policy("not enforced", "nothing deletes these files by itself")
        if not self.settings.is_s3:
            return policy("not enforced", "a folder has no lifecycle rule")
        if self.expirations.error:
            return policy("unknown", self.expirations.error)
        key = f"{self.settings.lake.removeprefix('s3://').partition('/')[2]}/{folder}/".lstrip("/")
        covering = {
            rule: days
            for (rule, prefix), days in self.expirations.days.items()
            if key.startswith(prefix)
        }
        if not covering:
            return policy("not enforced", "no lifecycle rule of the bucket deletes these files")
        rule, days = min(covering.items(), key=lambda one: one[1])
        return policy(
            "enforced", f"by lifecycle rule `{rule}`, which deletes files after {days} days"
        )


def _compared(asset: Asset, rules: Rules) -> tuple[State, str]:
    """Compare the declared readers of a table with the grants of the warehouse."""
    granted = rules.grants.get(asset.location, ())
    declared = [name if ":" in name else f"user:{name}" for name in asset.readers]
    missing = [name for name in declared if name not in granted]
    more = [name for name in granted if name not in declared]
    hidden = "because Redshift shows all grants only to superusers"
    if missing and rules.sees_all_grants:
        return "not enforced", f"there is no grant to {_listed(missing)}"
    if missing:
        return "unknown", f"user `{rules.user}` sees no grant to {_listed(missing)}, {hidden}"
    if declared and more:
        return "not enforced", f"{_listed(more)} may read it too, and is not declared"
    if granted:
        return "enforced", f"by grants to {_listed(granted)}"
    if rules.sees_all_grants:
        return "enforced", "only its owner may read it"
    return "unknown", f"user `{rules.user}` sees no grant, {hidden}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "nobody"
