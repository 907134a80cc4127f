"""The one function: a pod and what is known where it is made, in; what becomes of it, out.

    skipped   nobody asks for a sidecar here (`enrolment`)
    refused   all that keeps the pod from the level asked for, at once
    injected  our init containers first, our volumes, variables for everybody else, our marks

Pure: no clock, no network, no logging, no randomness; injecting twice changes nothing.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Final

from mesh7_core import names
from mesh7_core.injection import (
    asked,
    bounds,
    containers,
    demands,
    enforced,
    enrolment,
    guarded,
    shapes,
    sidecar_container,
    variables,
    volumes,
)
from mesh7_core.injection.known import Cluster, Namespace, Source
from mesh7_core.injection.outcomes import (
    Injected,
    Level,
    Outcome,
    Problem,
    Refused,
    Skipped,
)
from mesh7_core.injection.settings import Resources, Settings
from mesh7_core.injection.shapes import Object
from mesh7_core.injection.sidecar_container import Floors

__all__ = ["DEFAULT_CONTAINER", "Cluster", "Namespace", "Source", "inject"]

DEFAULT_CONTAINER: Final = "kubectl.kubernetes.io/default-container"


def inject(
    pod: Mapping[str, object],
    namespace: Namespace,
    settings: Settings,
    cluster: Cluster,
    *,
    is_nodes: bool = False,
) -> Outcome:
    """What becomes of the pod; it is not changed itself.

    Args:
        pod: as the API server sends it at CREATE: name and namespace may be missing.
        is_nodes: whether a node makes it, who alone makes mirror pods.
    """
    broken = shapes.mistakes(pod)
    found = enrolment.judge(
        pod,
        namespace,
        settings.release_namespace,
        may_opt_out=settings.may_opt_out,
        is_nodes=is_nodes,
    )
    match found:
        case Skipped():
            return found
        case Refused():
            return Refused(problems=(*found.problems, *broken))
        case None if broken:
            return Refused(problems=tuple(broken))
        case None:
            # Before anything is looked at that takes containers times sources.
            if large := tuple(bounds.problems(pod, cluster.sources)):
                return Refused(problems=large)
            return _guard(pod, namespace, settings, cluster)


def _guard(pod: Object, namespace: Namespace, settings: Settings, cluster: Cluster) -> Outcome:
    level = enrolment.level(namespace, settings.default_level)
    resources = asked.resources(pod, settings.resources)
    chosen = asked.choices(pod, namespace, settings)
    bundle = enrolment.floor(namespace, names.BUNDLE_FLOOR_ANNOTATION)
    overlay = enrolment.floor(namespace, names.OVERLAY_FLOOR_ANNOTATION)
    problems = [one for one in (level, bundle, overlay) if isinstance(one, Problem)]
    problems += chosen if isinstance(chosen, list) else []
    problems += resources if isinstance(resources, list) else []
    problems += _demanded(pod, settings, cluster)
    # Told only where the level is known; an unknown one is a problem already.
    if isinstance(level, Level):
        problems += _demanded_by(level, pod, namespace, settings, cluster)
    if (
        problems
        or isinstance(level, Problem)
        or isinstance(bundle, Problem)
        or isinstance(overlay, Problem)
        or isinstance(chosen, list)
        or isinstance(resources, list)
    ):
        return Refused(problems=tuple(problems))
    floors = Floors(bundle=bundle, overlay=overlay)
    return Injected(
        pod=_guarded(pod, level, chosen, cluster, (resources, floors)),
        level=level,
        warnings=tuple(asked.unknown(pod)),
    )


def _demanded(pod: Object, settings: Settings, cluster: Cluster) -> Iterator[Problem]:
    yield from demands.problems(pod, settings.user)
    yield from volumes.problems(pod)
    yield from variables.collisions(cluster.sources)
    given = variables.of_agents(cluster.sources)
    for container in containers.others(pod):
        yield from variables.conflicts(container, given)


def _demanded_by(
    level: Level, pod: Object, namespace: Namespace, settings: Settings, cluster: Cluster
) -> Iterator[Problem]:
    if level in (Level.GUARDED, Level.ENFORCED):
        yield from guarded.problems(pod, settings, cluster)
    if level is Level.ENFORCED:
        yield from enforced.problems(pod, namespace)


def _guarded(
    pod: Object,
    level: Level,
    settings: Settings,
    cluster: Cluster,
    sizes: tuple[Resources, Floors],
) -> Object:
    spec = dict(shapes.mapping(pod, "spec"))
    given = variables.of_agents(cluster.sources)
    for field in shapes.CONTAINER_FIELDS:
        theirs = [
            variables.put_in(one, given)
            for one in shapes.entries(spec, field)
            if not containers.is_ours(field, one)
        ]
        if field == "initContainers":
            spec[field] = [*_ours(pod, level, settings, cluster, sizes), *theirs]
        elif theirs:
            spec[field] = theirs
    spec["volumes"] = volumes.put_in(pod, volumes.ours(has_exchange=settings.exchange is not None))
    return {**pod, "metadata": _marked(pod, level, settings), "spec": spec}


def _ours(
    pod: Object,
    level: Level,
    settings: Settings,
    cluster: Cluster,
    sizes: tuple[Resources, Floors],
) -> Iterator[dict[str, object]]:
    resources, floors = sizes
    if level is Level.ENFORCED:
        yield sidecar_container.enforcer(settings, _before(pod, names.ENFORCER_CONTAINER))
    before = _before(pod, names.SIDECAR_CONTAINER)
    yield sidecar_container.sidecar(settings, cluster, resources, floors, before)


def _before(pod: Object, name: str) -> Object:
    """The init container of that name that the pod came with; empty = none."""
    found = shapes.entries(pod, "spec", "initContainers")
    return next((one for one in found if shapes.text(one, "name") == name), {})


def _marked(pod: Object, level: Level, settings: Settings) -> dict[str, object]:
    metadata = dict(shapes.mapping(pod, "metadata"))
    status = {"image": settings.image, "level": level.value, "release": names.RELEASE}
    annotations = dict(shapes.mapping(metadata, "annotations"))
    annotations[names.ENFORCEMENT] = level.value
    annotations[names.INJECTION_ANNOTATION] = json.dumps(status, sort_keys=True)
    first = shapes.text(shapes.entries(pod, "spec", "containers")[0], "name")
    if not annotations.get(DEFAULT_CONTAINER):
        annotations[DEFAULT_CONTAINER] = first
    metadata["annotations"] = annotations
    metadata["labels"] = {**shapes.mapping(metadata, "labels"), names.INJECTED_LABEL: "true"}
    return metadata
