"""Reads CloudFormation templates, and their policies in the form of the policy files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from include.settings import ROOT

FOLDER = ROOT / "include" / "aws"
TEMPLATES = sorted(FOLDER.glob("*.yaml"))

SHORT = {"Ref": "Ref", "Condition": "Condition"}
"""Tags whose key in the long form has no `Fn::`."""
SAME = {
    "AWS::Region": "${Region}",
    "AWS::AccountId": "${AccountId}",
    "AWS::Partition": "aws",
    "Catalog": "${GlueDatabase}",
}
"""References whose name in `include/aws/policies/` is another than in the templates."""


class Loader(yaml.SafeLoader):
    """Reads YAML with CloudFormation's tags into the long form of JSON."""


def _tag(loader: Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    key = SHORT.get(suffix, f"Fn::{suffix}")
    if isinstance(node, yaml.ScalarNode):
        return {key: loader.construct_scalar(node)}
    if isinstance(node, yaml.SequenceNode):
        return {key: loader.construct_sequence(node, deep=True)}
    return {key: loader.construct_mapping(node, deep=True)}  # type: ignore[arg-type]


Loader.add_multi_constructor("!", _tag)


@cache
def read(path: Path) -> dict[str, Any]:
    """The content of a template."""
    found: dict[str, Any] = yaml.load(path.read_text(), Loader)  # noqa: S506 - Loader is a SafeLoader
    return found


def resources(path: Path, kind: str) -> dict[str, dict[str, Any]]:
    """The properties of a template's resources of a type, by logical id."""
    return {
        name: resource["Properties"]
        for name, resource in read(path)["Resources"].items()
        if resource["Type"] == kind
    }


def written(value: Any) -> Any:
    """A value with each function replaced by a placeholder `${…}`.

    The placeholder has the name of the export or the resource.
    """
    if isinstance(value, list):
        return [written(item) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        ((key, given),) = value.items()
        if key in FUNCTIONS:
            return FUNCTIONS[key](given)
    return {key: written(item) for key, item in value.items()}


def _sub(given: Any) -> str:
    text, names = given if isinstance(given, list) else (given, {})
    known = {name: written(value) for name, value in names.items()}

    def replace(match: re.Match[str]) -> str:
        return str(known.get(match[1]) or SAME.get(match[1]) or match[0])

    return re.sub(r"\$\{([^}]+)\}", replace, text)


FUNCTIONS: dict[str, Any] = {
    "Ref": lambda given: SAME.get(given, f"${{{given}}}"),
    "Fn::Sub": _sub,
    "Fn::GetAtt": lambda given: f"${{{given}}}",
    # The names of exports have the form "${Name}-<name>".
    "Fn::ImportValue": lambda given: f"${{{_sub(given['Fn::Sub']).partition('-')[2]}}}",
    # The first branch of each `If` is the resource of the stack, the second an existing one.
    "Fn::If": lambda given: written(given[1]),
}


def policies(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The identity policies of a template, by role and name of the policy."""
    for name, role in resources(path, "AWS::IAM::Role").items():
        for policy in role.get("Policies", []):
            yield f"{path.stem}-{name}-{policy['PolicyName']}", written(policy["PolicyDocument"])
    for name, policy in resources(path, "AWS::IAM::RolePolicy").items():
        yield f"{path.stem}-{name}", written(policy["PolicyDocument"])


def trusts(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The trust policies of a template, by role."""
    for name, role in resources(path, "AWS::IAM::Role").items():
        yield f"{path.stem}-{name}", written(role["AssumeRolePolicyDocument"])
