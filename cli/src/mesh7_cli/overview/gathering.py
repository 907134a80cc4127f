"""What is asked of the cluster for an overview, and how the answers are put together."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from mesh7_cli import reading
from mesh7_cli.cluster import looking
from mesh7_cli.cluster.kubectl import Kubectl, Object
from mesh7_cli.cluster.looking import Absent, Hidden, Look, Seen
from mesh7_cli.overview import namespaces, pods
from mesh7_cli.overview.namespaces import Overview
from mesh7_cli.overview.pods import Release
from mesh7_core import errors, names
from mesh7_core.injection import existing
from mesh7_core.injection import settings as injection_settings
from mesh7_core.injection.inject import Namespace
from mesh7_core.injection.settings import Settings

_GROUPED: Final = ("pods", "agentpolicies", "bundles", "fences")
_Found = list[dict[str, object]] | None
"""Of one namespace; None = not known."""
_Grouped = Mapping[str, list[dict[str, object]]] | None
"""By namespace; None likewise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """All namespaces that were asked for.

    Attributes:
        notes: what this person may not see.
        looks: what was seen, by what was asked.
    """

    overviews: tuple[Overview, ...]
    settings: Settings | None
    notes: tuple[str, ...]
    looks: Mapping[str, Look]

    @property
    def is_blind(self) -> bool:
        """Whether this person may not see which namespaces are enrolled."""
        return isinstance(self.looks["enrolled"], Hidden)


def gather(kubectl: Kubectl, namespace: str | None, release_namespace: str) -> Gathered:
    """One namespace, or all that are enrolled.

    Args:
        namespace: None = all.
        release_namespace: where mesh7 is.

    Raises:
        ClusterError: nobody answers, or there is no such namespace.
    """
    found = looking.look_together(kubectl, _questions(namespace, release_namespace))
    places = _places(found["enrolled"], namespace)
    notes = list(looking.notes(found))
    if isinstance(kinds := found["agentpolicies"], Absent):
        notes.append(kinds.note)
    settings = settings_of(found["settings"])
    if settings is None and not isinstance(found["settings"], Hidden):
        notes.append(
            f"no readable ConfigMap `{names.INJECTION_CONFIG_MAP}` in namespace "
            f"`{release_namespace}` – say where mesh7 is installed with --release-namespace"
        )
    shown = [namespace] if namespace is not None else _named(found, places, release_namespace)
    release = Release(namespace=release_namespace, settings=settings)
    grouped = {kind: _by_namespace(found[kind]) for kind in _GROUPED}
    return Gathered(
        overviews=tuple(
            _overview(name, places.get(name), _here(name, grouped), release) for name in shown
        ),
        settings=settings,
        notes=tuple(dict.fromkeys(notes)),
        looks=found,
    )


def settings_of(seen: Look) -> Settings | None:
    """The release's settings; None where they cannot be seen or mean nothing."""
    text = reading.text(looking.value(seen), "data", injection_settings.KEY)
    if not text:
        return None
    try:
        return injection_settings.read(text)
    except errors.SettingsError:
        return None


def place_of(value: Object) -> Namespace:
    """A Namespace as injection wants it."""
    return Namespace(
        name=reading.text(value, "metadata", "name"),
        labels=_texts(value, "labels"),
        annotations=_texts(value, "annotations"),
    )


def _questions(namespace: str | None, release_namespace: str) -> dict[str, looking.Question]:
    where = "--all-namespaces" if namespace is None else f"--namespace={namespace}"
    settings = ("configmap", names.INJECTION_CONFIG_MAP, f"--namespace={release_namespace}")
    return {
        # First, for it is one object: where nobody answers, that is known soonest.
        "settings": looking.get(*settings),
        "enrolled": looking.listed("namespaces", f"--selector={names.INJECTION_LABEL}")
        if namespace is None
        else looking.get("namespace", namespace),
        "pods": looking.listed("pods", where),
        "agentpolicies": looking.listed(f"agentpolicies.{names.GROUP}", where),
        "bundles": looking.listed("configmaps", where, _one(names.BUNDLE_CONFIG_MAP)),
        "fences": looking.listed("networkpolicies", where, _one(names.NETWORK_POLICY)),
    }


def _one(name: str) -> str:
    return f"--field-selector=metadata.name={name}"


def _places(seen: Look, namespace: str | None) -> dict[str, Namespace]:
    if isinstance(seen, Absent):
        raise errors.ClusterError(f"there is no namespace `{namespace}` – `kubectl get namespaces`")
    values = looking.items(seen) if namespace is None else [looking.value(seen)]
    return {place.name: place for place in map(place_of, values) if place.name}


def _named(
    found: Mapping[str, Look], places: Mapping[str, Namespace], release_namespace: str
) -> list[str]:
    """All enrolled ones; where Namespaces cannot be seen, those in which something of ours is."""
    if isinstance(found["enrolled"], Seen):
        return sorted(name for name in places if name != release_namespace)
    ours = [*looking.items(found["agentpolicies"]), *looking.items(found["bundles"])]
    return sorted({_namespace(one) for one in ours} - {release_namespace})


def _overview(
    name: str, place: Namespace | None, here: Mapping[str, _Found], release: Release
) -> Overview:
    there = place or Namespace(name=name, labels={}, annotations={})
    policies, settings = here["agentpolicies"], release.settings
    return Overview(
        name=name,
        place=place,
        default_level=None if settings is None else settings.default_level.value,
        pods=None
        if here["pods"] is None
        else tuple(
            pods.pod_of(one, there, release) for one in here["pods"] if not existing.has_ended(one)
        ),
        bundle=_annotation(here["bundles"], names.BUNDLE_VERSION_ANNOTATION),
        policies=None if policies is None else namespaces.policies_of(policies),
        egress=_annotation(here["fences"], namespaces.EGRESS),
        image=namespaces.image_of(settings),
    )


def _by_namespace(seen: Look) -> _Grouped:
    """All of them in one pass; None where they cannot be seen, or there is no such kind."""
    if not isinstance(seen, Seen):
        return None
    found: dict[str, list[dict[str, object]]] = {}
    for one in looking.items(seen):
        found.setdefault(_namespace(one), []).append(one)
    return found


def _here(name: str, grouped: Mapping[str, _Grouped]) -> dict[str, _Found]:
    """Those of one namespace."""
    return {
        kind: None if groups is None else groups.get(name, []) for kind, groups in grouped.items()
    }


def _annotation(found: _Found, name: str) -> str | None:
    """Of the one object; empty where there is none, None where it cannot be seen."""
    if found is None:
        return None
    return next((reading.text(one, "metadata", "annotations", name) for one in found), "")


def _namespace(value: Mapping[str, object]) -> str:
    return reading.text(value, "metadata", "namespace")


def _texts(value: Object, kind: str) -> dict[str, str]:
    return {key: str(text) for key, text in reading.one(value, "metadata", kind).items()}
