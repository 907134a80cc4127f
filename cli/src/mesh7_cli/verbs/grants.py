"""The verb `grants`: the standing grants and vetoes."""

from collections.abc import Iterator, Mapping
from datetime import datetime

from mesh7_cli import reading, spans
from mesh7_cli.backend import Backend
from mesh7_cli.verbs.layout import Layout, Names, show


def run(backend: Backend, layout: Layout, now: datetime) -> None:
    """List them."""
    nothing = f"no grants and no vetoes stand{backend.voice.place}"
    names = Names(key="name", kind=backend.voice.grant_kind, nothing=nothing)
    show(backend.grants(), layout, names, lambda one: _columns(one, layout, now))


def _columns(one: Mapping[str, object], layout: Layout, now: datetime) -> Iterator[tuple[str, str]]:
    """Heads and cells."""
    if layout.has_namespaces:
        yield "namespace", reading.text(one, "namespace")
    yield "name", reading.text(one, "name")
    yield "effect", reading.text(one, "effect")
    yield "tools", " ".join(reading.texts(one, "tools")) or _request(one)
    yield "who", reading.text(one, "agent") or reading.text(one, "pod") or "everybody"
    yield "policy", reading.text(one, "policy")
    yield "expires in", spans.until(reading.moment(one, "expiresAt"), now)
    yield "uses", _uses(one)
    if "phase" in one:
        yield "phase", reading.text(one, "phase")
    yield "by", reading.text(one, "by") or _nobody(one)
    if layout.is_wide:
        yield "made", spans.since(reading.moment(one, "madeAt"), now)
        yield "when", reading.text(one, "when")
    yield "reason", reading.text(one, "reason")


def _request(one: Mapping[str, object]) -> str:
    """What a grant is for that answers one held call."""
    name = reading.text(one, "request")
    return f"request {name}" if name else ""


def _nobody(one: Mapping[str, object]) -> str:
    """Where nobody is named: a cluster that did not stamp it does not know."""
    return "?" if "phase" in one else f"a {reading.text(one, 'from')}"


def _uses(one: Mapping[str, object]) -> str:
    if reading.text(one, "effect") == "Deny" or reading.text(one, "request"):
        return ""
    used = reading.text(one, "used") or "?"
    most = reading.number(one, "maxUses")
    return f"{used} of {most}" if most else used
