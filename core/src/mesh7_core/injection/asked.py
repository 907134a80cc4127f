"""What annotations ask of a sidecar: a pod's resources and patience, a namespace's share of traces.

Pure: no clock, no network, no logging.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Final

from mesh7_core import names
from mesh7_core.api.places import shown, spell
from mesh7_core.api.quantities import BadQuantity, parse_duration
from mesh7_core.injection import quantities, shapes, variables
from mesh7_core.injection.known import Namespace
from mesh7_core.injection.outcomes import Problem, Refusal
from mesh7_core.injection.settings import Resources, Settings
from mesh7_core.injection.shapes import Object

CPU_REQUEST: Final = f"{names.GROUP}/cpu-request"
MEMORY_REQUEST: Final = f"{names.GROUP}/memory-request"
MEMORY_LIMIT: Final = f"{names.GROUP}/memory-limit"
HOLD: Final = f"{names.GROUP}/hold"
TRACE_SHARE: Final = f"{names.GROUP}/trace-share"
"""Of a Namespace: how many of its calls are traced."""
LONGEST_HOLD: Final = timedelta(hours=1)
LEAST_CPU: Final = "10m"
MOST_CPU: Final = "2"
TIMES: Final = 4
"""The release's memory limit so many times is what a pod may ask for at most."""
_SHARE: Final = re.compile(r"0|1|1\.0{1,9}|0?\.[0-9]{1,9}")
KNOWN: Final = frozenset(
    {
        CPU_REQUEST,
        MEMORY_REQUEST,
        MEMORY_LIMIT,
        HOLD,
        names.INJECT,
        names.INJECTED_LABEL,
        names.ENFORCEMENT,
        names.INJECTION_ANNOTATION,
    }
)


def resources(pod: Object, settings: Resources) -> Resources | list[Problem]:
    """Those of the settings, with what the pod asks for instead."""
    written = shapes.texts(pod, "metadata", "annotations")
    found = Resources(
        cpu_request=written.get(CPU_REQUEST, settings.cpu_request),
        memory_request=written.get(MEMORY_REQUEST, settings.memory_request),
        memory_limit=written.get(MEMORY_LIMIT, settings.memory_limit),
    )
    problems = [
        Problem(
            reason=Refusal.INVALID_VALUE,
            path=spell(("metadata", "annotations", annotation)),
            message=message,
        )
        for annotation, message in _mistakes(found, settings).items()
        if annotation in written
    ]
    return problems or found


def choices(pod: Object, namespace: Namespace, settings: Settings) -> Settings | list[Problem]:
    """The settings, with what pod and namespace say instead."""
    patient, traced = _patience(pod), _share(namespace)
    if isinstance(patient, Problem) or isinstance(traced, Problem):
        return [one for one in (patient, traced) if isinstance(one, Problem)]
    return replace(settings, variables={**settings.variables, **patient, **traced})


def _patience(pod: Object) -> dict[str, str] | Problem:
    """How long this pod's client waits for people, where the pod says it."""
    written = shapes.texts(pod, "metadata", "annotations").get(HOLD)
    if written is None:
        return {}
    try:
        is_short = parse_duration(written) <= LONGEST_HOLD
        message = "" if is_short else f"`{written}` is out of bounds, write from `0s` to `1h`"
    except BadQuantity as error:
        message = error.message
    if message:
        path = spell(("metadata", "annotations", HOLD))
        return Problem(reason=Refusal.INVALID_VALUE, path=path, message=message)
    return {variables.HOLD: written}


def _share(namespace: Namespace) -> dict[str, str] | Problem:
    """How many calls of the namespace's pods are traced, where it says it."""
    written = namespace.annotations.get(TRACE_SHARE)
    if written is None:
        return {}
    if _SHARE.fullmatch(written):
        return {variables.TRACE_SHARE: written}
    return Problem(
        reason=Refusal.INVALID_VALUE,
        path=f"namespace: {spell(('metadata', 'annotations', TRACE_SHARE))}",
        message=f"{shown(written)} is no share, write a number from `0` to `1`, such as `0.01`",
    )


def unknown(pod: Object) -> list[str]:
    """Warnings of annotations and labels under our prefix that mean nothing on a pod."""
    return [
        f"{field[:-1]} `{key}` of the pod means nothing to mesh7"
        for field in ("annotations", "labels")
        for key in sorted(shapes.texts(pod, "metadata", field))
        if key.startswith(f"{names.GROUP}/") and key not in KNOWN
    ]


def _mistakes(found: Resources, settings: Resources) -> dict[str, str]:
    memory = quantities.parse_memory
    most = memory(settings.memory_limit) * TIMES
    wrong = {
        CPU_REQUEST: _bounds(
            quantities.parse_cpu,
            found.cpu_request,
            (quantities.parse_cpu(LEAST_CPU), quantities.parse_cpu(MOST_CPU)),
            f"from `{LEAST_CPU}` to `{MOST_CPU}`",
        ),
        MEMORY_LIMIT: _bounds(
            memory,
            found.memory_limit,
            (memory(settings.memory_request), most),
            f"from `{settings.memory_request}` to {TIMES} times `{settings.memory_limit}`",
        ),
    }
    limit = most if wrong[MEMORY_LIMIT] else memory(found.memory_limit)
    wrong[MEMORY_REQUEST] = _bounds(
        memory,
        found.memory_request,
        (quantities.LEAST_MEMORY, limit),
        "no more than the sidecar's memory limit",
    )
    return {annotation: message for annotation, message in wrong.items() if message}


def _bounds(parse: Callable[[object], int], text: str, bounds: tuple[int, int], words: str) -> str:
    """What is wrong; empty = nothing."""
    try:
        value = parse(text)
    except BadQuantity as error:
        return error.message
    return "" if bounds[0] <= value <= bounds[1] else f"`{text}` is out of bounds, write {words}"
