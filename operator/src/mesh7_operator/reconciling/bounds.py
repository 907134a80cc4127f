"""How much one namespace may write: more would keep the controller from the others' changes.

Looked at before anything is compiled. Pure: no clock, no network, no logging.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

MAXIMUM_RULES: Final = 10_000
MAXIMUM_CONDITIONS: Final = 2_000
MAXIMUM_CONDITION_CHARACTERS: Final = 256 * 1024
"""Of all expressions together: each character takes microseconds to compile."""
MAXIMUM_VALUES: Final = 100_000
"""Texts, numbers and keys in the specs of policies and sources together."""
MAXIMUM_SOURCES: Final = 1_000
MAXIMUM_WRITTEN_GRANTS: Final = 10_000
"""Those that ended are among them until they are deleted."""
MAXIMUM_GRANT_CONDITIONS: Final = 500
MAXIMUM_GRANT_CONDITION_CHARACTERS: Final = 64 * 1024
MAXIMUM_COMPARISONS: Final = 500_000
"""Of globs of permissions with rules of the policies that they name."""
MAXIMUM_GRANTS: Final = 2_000
"""In force at one time: sidecars compile them all whenever one changes."""

Object = Mapping[str, object]


def excess_of_policies(policies: Iterable[Object], sources: Iterable[Object]) -> str:
    """What there is too much of, for people; empty when it can be compiled."""
    policies, sources = tuple(policies), tuple(sources)
    rules = [one for policy in policies for one in _list(_spec(policy).get("rules"))]
    conditions = tuple(_conditions(rules))
    return (
        _beyond(len(rules) + len(policies), MAXIMUM_RULES, "rules")
        or _beyond(len(sources), MAXIMUM_SOURCES, "ToolSources")
        or _beyond(len(conditions), MAXIMUM_CONDITIONS, "`when` expressions")
        or _beyond(_length(conditions), MAXIMUM_CONDITION_CHARACTERS, "characters in `when`")
        or _beyond(_values((*policies, *sources)), MAXIMUM_VALUES, "values")
    )


def excess_of_grants(grants: Iterable[Object]) -> str:
    """The same of standing grants and vetoes, the ended ones among them."""
    specs = [_spec(one) for one in grants]
    conditions = tuple(_conditions(specs))
    characters = _length(conditions)
    return (
        _beyond(len(specs), MAXIMUM_WRITTEN_GRANTS, "grants")
        or _beyond(len(conditions), MAXIMUM_GRANT_CONDITIONS, "grants with `when`")
        or _beyond(characters, MAXIMUM_GRANT_CONDITION_CHARACTERS, "characters in grants' `when`")
        or _beyond(_values(specs), MAXIMUM_VALUES, "values in grants")
    )


def excess_of_permissions(grants: Iterable[Object], policies: Iterable[Object]) -> str:
    """The same of permissions, each of which is held against each rule of its policy.

    Args:
        grants: the permissions.
        policies: of both layers.
    """
    rules = {_named(one.get("metadata")): len(_list(_spec(one).get("rules"))) for one in policies}
    comparisons = sum(
        (len(_list(spec.get("tools"))) + 1) * rules.get(_named(spec.get("policyRef")), 0)
        for spec in map(_spec, grants)
    )
    return _beyond(comparisons, MAXIMUM_COMPARISONS, "comparisons of grants with rules")


def _named(value: object) -> tuple[object, object]:
    found = value if isinstance(value, dict) else {}
    return str(found.get("namespace")), str(found.get("name"))


def _beyond(many: int, most: int, what: str) -> str:
    return f"more than {most} {what}" if many > most else ""


def _conditions(holders: Iterable[object]) -> Iterator[str]:
    for one in holders:
        when = one.get("when") if isinstance(one, dict) else None
        if isinstance(when, str):
            yield when


def _length(texts: Iterable[str]) -> int:
    return sum(len(one) for one in texts)


def _values(objects: Iterable[Object]) -> int:
    """Keys and values in the specs; counted no further than one beyond what is allowed."""
    counted = 0
    waiting: list[object] = [one.get("spec", one) for one in objects]
    while waiting and counted <= MAXIMUM_VALUES:
        one = waiting.pop()
        counted += 1
        if isinstance(one, dict):
            counted += len(one)
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)
    return counted


def _spec(value: Object) -> Object:
    spec = value.get("spec")
    return spec if isinstance(spec, dict) else {}


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []
