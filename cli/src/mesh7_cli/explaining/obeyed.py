"""Which of the delivered versions a pod obeys, by what it says itself, else by what is counted.

Pure: no clock, no network, no logging.
"""

from collections.abc import Iterable, Iterator, Mapping

from mesh7_cli import reading
from mesh7_cli.explaining.delivered import Versions
from mesh7_core.delivery.envelopes import Kind

Object = Mapping[str, object]


def said(readiness: Object) -> Versions | None:
    """What a sidecar's `/readyz` says it obeys, 0 = none; None = it is no such answer."""
    if "ready" not in readiness:
        return None
    return {kind: reading.number(readiness, kind.value) for kind in Kind}


def notes(
    here: Versions, obeyed: Versions | None, policies: Iterable[Object] | None
) -> Iterator[str]:
    """What to know about an explanation that was made by the versions `here`.

    Args:
        here: those in the ConfigMap.
        obeyed: see `said`; None = the pod could not be asked.
        policies: of the namespace that select the pod; None = they cannot be seen.
    """
    if obeyed is not None:
        yield from _differences(here, obeyed)
    elif policies is None:
        yield "which bundle the pod obeys is not known: it could not be asked"
    else:
        yield f"the pod could not be asked which bundle it obeys; {_counted(here, policies)}"


def _differences(here: Versions, obeyed: Versions) -> Iterator[str]:
    for kind in Kind:
        if obeyed[kind] == here[kind]:
            continue
        if not obeyed[kind]:
            yield f"the pod obeys no {kind} yet: every call is denied with no-bundle"
        else:
            # Redis brings a bundle sooner than the kubelet, and sooner than we have read it.
            when = "an older" if obeyed[kind] < here[kind] else "a newer"
            yield (
                f"the pod obeys {when} {kind}, {obeyed[kind]}; this is by {here[kind]}, which it "
                "may decide otherwise by"
            )


def _counted(here: Versions, policies: Iterable[Object]) -> str:
    """What the policies' statuses say of the sidecars of all pods that they select."""
    found = [one for one in policies if reading.number(one, "status", "pods", "matched")]
    if not found:
        return "no policy that selects it counts its sidecars"
    lagging = max(found, key=_behind)
    matched = reading.number(lagging, "status", "pods", "matched")
    current = matched - _behind(lagging)
    version = reading.number(lagging, "status", "bundleVersion")
    name = reading.text(lagging, "metadata", "name")
    older = "" if version >= here[Kind.BUNDLE] else ", which is older than this one"
    return (
        f"policy `{name}` counts {current} of {matched} sidecars on bundle {version} or later"
        f"{older}"
    )


def _behind(policy: Object) -> int:
    matched = reading.number(policy, "status", "pods", "matched")
    return matched - reading.number(policy, "status", "pods", "current")
