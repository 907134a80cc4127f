"""Who both approves and makes pods, read from roles and their bindings.

Groups are told of as such: who is in one, and who is in two, the API server does not know.
Pure: no clock, no network, no logging.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

from mesh7_cli import reading
from mesh7_core import names

Object = Mapping[str, object]
Holder = tuple[str, str]
"""Kind and name: `User`, `Group` or `ServiceAccount`, the last as `namespace:name`."""

_EVERYWHERE: Final = ""
_ANY: Final = "*"
_AUTHENTICATED: Final = ("Group", "system:authenticated")
_MAKING: Final = {
    "": {"pods", "replicationcontrollers"},
    "apps": {"daemonsets", "deployments", "replicasets", "statefulsets"},
    "batch": {"cronjobs", "jobs"},
}
"""Resources of which pods come, by API group."""


class Right(Enum):
    """What is looked for in a role."""

    APPROVE = auto()
    MAKE = auto()
    ALL = auto()
    """An administrator's: may do both, and give it to anybody."""


@dataclass(slots=True, kw_only=True)
class _Held:
    """Of one holder: the namespaces of each right, `_EVERYWHERE` for all."""

    where: dict[Right, set[str]] = field(default_factory=dict)


def of_both(
    roles: Iterable[Object],
    bindings: Iterable[Object],
    enrolled: Iterable[str],
    release: str,
) -> dict[Holder, list[str]]:
    """Namespaces in which somebody may both approve and make pods, by who; without administrators.

    Args:
        roles: Roles and ClusterRoles.
        bindings: RoleBindings and ClusterRoleBindings.
        enrolled: namespaces whose pods are guarded.
        release: where a baseline's policies are, whose approvals count everywhere.
    """
    rights = {_key(one): _rights(one) for one in roles}
    held: dict[Holder, _Held] = {}
    for binding in bindings:
        given = rights.get(_target(binding), frozenset())
        where = reading.text(binding, "metadata", "namespace") or _EVERYWHERE
        for holder in _subjects(binding):
            for right in given:
                held.setdefault(holder, _Held()).where.setdefault(right, set()).add(where)
    places = sorted(enrolled)
    found = {holder: list(_both(holder, held, places, release)) for holder in sorted(held)}
    return {holder: there for holder, there in found.items() if there}


def _both(
    holder: Holder, held: Mapping[Holder, _Held], places: Iterable[str], release: str
) -> Iterator[str]:
    if _EVERYWHERE in _places(holder, held, Right.ALL):
        return
    own = held[holder].where
    approving, making = (_places(holder, held, one) for one in (Right.APPROVE, Right.MAKE))
    # What everybody has is told of once, of everybody.
    if not {Right.APPROVE, Right.MAKE} & own.keys():
        return
    for place in places:
        if {_EVERYWHERE, place} & making and {_EVERYWHERE, place, release} & approving:
            yield place


def _places(holder: Holder, held: Mapping[Holder, _Held], right: Right) -> set[str]:
    return {
        place
        for one in (holder, *_groups(holder))
        if one in held
        for place in held[one].where.get(right, ())
    }


def _groups(holder: Holder) -> Iterator[Holder]:
    """Those that a holder is in by being what it is."""
    kind, name = holder
    if kind == "ServiceAccount":
        yield ("Group", "system:serviceaccounts")
        yield ("Group", f"system:serviceaccounts:{name.partition(':')[0]}")
    if holder not in {_AUTHENTICATED, ("Group", "system:unauthenticated")}:
        yield _AUTHENTICATED


def _rights(role: Object) -> frozenset[Right]:
    return frozenset(
        right for rule in reading.objects(role, "rules") for right in _rights_of_rule(rule)
    )


def _rights_of_rule(rule: Object) -> Iterator[Right]:
    groups, resources, verbs = (
        set(reading.texts(rule, key)) for key in ("apiGroups", "resources", "verbs")
    )
    if _ANY in groups and _ANY in resources and _ANY in verbs:
        yield Right.ALL
    if (
        {_ANY, names.GROUP} & groups
        and {_ANY, "agentpolicies"} & resources
        and {_ANY, names.VERB_APPROVE} & verbs
    ):
        yield Right.APPROVE
    if {_ANY, "create"} & verbs and any(
        {_ANY, group} & groups and {_ANY, *made} & resources for group, made in _MAKING.items()
    ):
        yield Right.MAKE


def _key(role: Object) -> tuple[str, str, str]:
    return (
        reading.text(role, "kind"),
        reading.text(role, "metadata", "namespace"),
        reading.text(role, "metadata", "name"),
    )


def _target(binding: Object) -> tuple[str, str, str]:
    kind = reading.text(binding, "roleRef", "kind")
    where = reading.text(binding, "metadata", "namespace") if kind == "Role" else ""
    return kind, where, reading.text(binding, "roleRef", "name")


def _subjects(binding: Object) -> Iterator[Holder]:
    for one in reading.objects(binding, "subjects"):
        kind, name = reading.text(one, "kind"), reading.text(one, "name")
        home = reading.text(one, "namespace") or reading.text(binding, "metadata", "namespace")
        yield kind, f"{home}:{name}" if kind == "ServiceAccount" else name
