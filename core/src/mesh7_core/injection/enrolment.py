"""Which namespaces are served, and which of their pods are guarded.

    | namespace      | `mesh7.dev/inject` of the pod | what becomes of it                     |
    |----------------|-------------------------------|----------------------------------------|
    | no label       | anything                      | left alone, not-enrolled               |
    | another value  | anything                      | refused, invalid-value                 |
    | either value   | another value                 | refused, invalid-value                 |
    | either value   | label and annotation differ   | refused, contradiction                 |
    | `enabled`      | none, "true"                  | guarded                                |
    | `enabled`      | "false"                       | left alone, opted-out, if the release  |
    |                |                               | allows it; else opt-out-not-allowed    |
    | `on-request`   | "true"                        | guarded                                |
    | `on-request`   | none                          | left alone, not-requested              |
    | `on-request`   | "false"                       | left alone, opted-out                  |

The release namespace counts as one without label, and mirror pods, which nodes alone make, are
left alone before anything is asked. A pod that is left alone and bears the marks of a guarded one
is refused, contradiction: whoever counts guarded pods believes the marks.
Pure: no clock, no network, no logging.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from mesh7_core import names
from mesh7_core.api.places import shown, spell
from mesh7_core.api.suggestions import advice
from mesh7_core.injection import shapes
from mesh7_core.injection.known import Namespace
from mesh7_core.injection.outcomes import Level, Problem, Refusal, Refused, Skip, Skipped
from mesh7_core.injection.shapes import Object

ENABLED, ON_REQUEST = names.INJECTION_VALUES
MIRROR: Final = "kubernetes.io/config.mirror"
"""Annotation of the API server's image of a pod that a kubelet runs from a file."""
_LARGEST_VERSION: Final = 2**53 - 1
"""What a sidecar takes."""
MARKS: Final = (
    ("labels", names.INJECTED_LABEL),
    ("annotations", names.ENFORCEMENT),
    ("annotations", names.INJECTION_ANNOTATION),
)


def is_enrolled(namespace: str, labels: Mapping[str, str], release_namespace: str) -> bool:
    """Whether sidecars of the namespace get bundles.

    Args:
        labels: of the Namespace.
        release_namespace: holds the baseline; its label means nothing.
    """
    return (
        namespace != release_namespace
        and labels.get(names.INJECTION_LABEL) in names.INJECTION_VALUES
    )


def judge(
    pod: Object,
    namespace: Namespace,
    release_namespace: str,
    *,
    may_opt_out: bool,
    is_nodes: bool,
) -> Skipped | Refused | None:
    """What becomes of the pod by the table above; None = it is to be guarded.

    Args:
        is_nodes: whether a node may have made it; anybody can write a mirror pod's annotation.
    """
    if is_nodes and shapes.texts(pod, "metadata", "annotations").get(MIRROR) is not None:
        return Skipped(reason=Skip.MIRROR_POD)
    enrols = namespace.labels.get(names.INJECTION_LABEL)
    if namespace.name == release_namespace or enrols is None:
        return Skipped(reason=Skip.NOT_ENROLLED, warnings=tuple(_unheard(pod, namespace)))
    problems = [*_invalid(pod, namespace)]
    asked = _asked(pod)
    if len(asked) > 1:
        problems.append(_contradiction())
    if problems:
        return Refused(problems=tuple(problems))
    match (enrols, *asked):
        case (_, "true") | ("enabled",):
            return None
        case ("enabled", _) if not may_opt_out:
            return Refused(problems=(_not_allowed(pod),))
        case (_, "false"):
            return _left_alone(pod, Skip.OPTED_OUT)
        case _:
            return _left_alone(pod, Skip.NOT_REQUESTED)


def level(namespace: Namespace, default: Level) -> Level | Problem:
    """The level that is asked for."""
    asked = namespace.labels.get(names.ENFORCEMENT)
    if asked is None:
        return default
    if asked in set(Level):
        return Level(asked)
    return Problem(
        reason=Refusal.INVALID_VALUE,
        path=_of_namespace("labels", names.ENFORCEMENT),
        message=f"{shown(asked)} is no level, {advice(asked, list(Level))}",
    )


def floor(namespace: Namespace, annotation: str) -> str | Problem:
    """The version that nothing older than is taken, as text; `0` where none is written."""
    text = namespace.annotations.get(annotation, "0")
    is_number = text.isascii() and text.isdigit() and len(text) <= len(str(_LARGEST_VERSION))
    if is_number and int(text) <= _LARGEST_VERSION:
        return text
    return Problem(
        reason=Refusal.INVALID_VALUE,
        path=_of_namespace("annotations", annotation),
        message=f"{shown(text)} is no version, remove the annotation: the controller writes it",
    )


def _asked(pod: Object) -> set[str]:
    return {text for _, text in _written(pod)}


def _written(pod: Object) -> Iterator[tuple[str, str]]:
    """What the pod says of `mesh7.dev/inject`, with the field where."""
    for field in ("labels", "annotations"):
        found = shapes.mapping(pod, "metadata", field)
        if names.INJECT in found:
            # Null is an empty label to the API server.
            yield field, shapes.text(found, names.INJECT)


def _invalid(pod: Object, namespace: Namespace) -> Iterator[Problem]:
    enrols = namespace.labels.get(names.INJECTION_LABEL)
    if enrols not in names.INJECTION_VALUES:
        yield Problem(
            reason=Refusal.INVALID_VALUE,
            path=_of_namespace("labels", names.INJECTION_LABEL),
            message=f"{shown(enrols)} means nothing, write `{ENABLED}` or `{ON_REQUEST}`",
        )
    for field, text in _written(pod):
        if text not in ("true", "false"):
            yield Problem(
                reason=Refusal.INVALID_VALUE,
                path=spell(("metadata", field, names.INJECT)),
                message=f'{shown(text)} means nothing, write "true" or "false"',
            )


def _contradiction() -> Problem:
    return Problem(
        reason=Refusal.CONTRADICTION,
        path=spell(("metadata", "annotations", names.INJECT)),
        message=f"annotation and label `{names.INJECT}` say different things, remove one",
    )


def _not_allowed(pod: Object) -> Problem:
    field, _ = next(_written(pod))
    return Problem(
        reason=Refusal.OPT_OUT_NOT_ALLOWED,
        path=spell(("metadata", field, names.INJECT)),
        message=(
            "every pod of this namespace is guarded, and pods may not opt out: remove it, or ask "
            "whoever runs mesh7"
        ),
    )


def _left_alone(pod: Object, reason: Skip) -> Skipped | Refused:
    forged = [
        Problem(
            reason=Refusal.CONTRADICTION,
            path=spell(("metadata", field, key)),
            message="the pod is not to be guarded and says that it is: remove this mark",
        )
        for field, key in MARKS
        if key in shapes.mapping(pod, "metadata", field)
    ]
    return Refused(problems=tuple(forged)) if forged else Skipped(reason=reason)


def _unheard(pod: Object, namespace: Namespace) -> Iterator[str]:
    if "true" in _asked(pod):
        yield (
            f"the pod asks to be guarded, and namespace {shown(namespace.name)} is not enrolled: "
            f"give it the label `{names.INJECTION_LABEL}`"
        )


def _of_namespace(field: str, key: str) -> str:
    return f"namespace: {spell(('metadata', field, key))}"
