"""ToolSources as the controller wrote them, in the words of a gateway's `/control/tools`.

The cluster knows names and digests of definitions; their text stays with the sidecars.
Pure: no clock, no network, no logging.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from mesh7_cli import reading
from mesh7_core.delivery.reports import Drift
from mesh7_core.policy import definitions
from mesh7_core.policy.bundle import Pinning
from mesh7_core.policy.definitions import State

Object = Mapping[str, object]


def tools(source: Object) -> list[dict[str, object]]:
    """What a source lists now, by name: each as `/control/tools` has it, without definitions."""
    name, pinning, accepted = _name(source), _pinning(source), accepted_of(source)
    found: list[dict[str, object]] = []
    for one in reading.objects(source, "status", "tools"):
        tool, digest = reading.text(one, "name"), reading.text(one, "digest")
        drift = reading.text(one, "drift")
        if drift == Drift.REMOVED:
            continue
        state = definitions.state(pinning, accepted.get(tool, ""), "", digest)
        if drift == Drift.CHANGED and pinning is not Pinning.IGNORE:
            # Of another than was seen first; or sidecars see two.
            state = State.CHANGED
        found.append({
            "source": name,
            "name": tool,
            "state": state.value,
            "isServed": definitions.is_served(pinning, state),
            "mayCall": True,
            "digest": digest,
            "expected": accepted.get(tool, ""),
        })  # fmt: skip
    return sorted(found, key=lambda one: str(one["name"]))


def shape(source: Object) -> dict[str, object]:
    """The source as `/control/tools` has it."""
    return {"name": _name(source), "pinning": _pinning(source).value, "error": ""}


def notes(source: Object) -> Iterator[str]:
    """What to know beside its tools."""
    name = _name(source)
    observed = reading.number(source, "status", "observedGeneration")
    if observed and observed != reading.number(source, "metadata", "generation"):
        yield f"source `{name}` was edited just now; its tools are those of before"
    for one in reading.objects(source, "status", "conditions"):
        if reading.text(one, "type") == "Ready" and reading.text(one, "status") != "True":
            yield f"source `{name}`: {reading.text(one, 'message')} ({reading.text(one, 'reason')})"
    total, told = reading.number(source, "status", "toolCount"), len(tools(source))
    if total > told:
        yield f"source `{name}` lists {total} tools, of which the cluster names {told}"


def accepted_of(source: Object) -> dict[str, str]:
    """Accepted digests by the source's own name of the tool."""
    written = reading.objects(source, "spec", "pinning", "accepted")
    return {reading.text(one, "tool"): reading.text(one, "digest") for one in written}


def accepting(source: Object, digests: Mapping[str, str]) -> dict[str, object]:
    """A merge patch that adds these digests; of no use any more once the source was changed."""
    return {
        "metadata": {"resourceVersion": reading.text(source, "metadata", "resourceVersion")},
        "spec": {"pinning": {"accepted": _written({**accepted_of(source), **digests})}},
    }


def lines(source: Object, digests: Mapping[str, str]) -> Sequence[str]:
    """What `accepting` changes, as `diff -u` shows it."""
    import difflib  # noqa: PLC0415 - only for a dry run

    before = accepted_of(source)
    now, then = (
        [f"{tool}: {digest}" for tool, digest in found.items()]
        for found in (before, {**before, **digests})
    )
    where = f"toolsource/{_name(source)} spec.pinning.accepted"
    return list(
        difflib.unified_diff(now, then, f"{where} (now)", f"{where} (accepted)", lineterm="")
    )


def named(sources: Iterable[Object]) -> dict[str, Object]:
    """Sources by name."""
    return {_name(one): one for one in sources}


def _written(accepted: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"tool": tool, "digest": digest} for tool, digest in accepted.items()]


def _name(source: Object) -> str:
    return reading.text(source, "metadata", "name")


def _pinning(source: Object) -> Pinning:
    mode = reading.text(source, "spec", "pinning", "mode")
    return Pinning(mode) if mode in tuple(Pinning) else Pinning.IGNORE
