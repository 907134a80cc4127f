"""The verb `grants`: the standing grants and vetoes."""

from collections.abc import Iterator, Mapping
from datetime import datetime

import click

from mesh7_cli import reading, spans
from mesh7_cli.backend import Backend
from mesh7_cli.verbs import layout as layouts
from mesh7_cli.verbs.layout import Layout


def run(backend: Backend, layout: Layout, now: datetime) -> None:
    """List them."""
    found = backend.grants()
    names = [reading.text(one, "name") for one in found]
    if layouts.shown(found, names, backend.voice.grant_kind, layout.form):
        return
    if not found:
        click.echo("no grants and no vetoes stand", err=not layout.has_heads)
        return
    columns = [list(_columns(one, layout, now)) for one in found]
    heads = [head for head, _ in columns[0]]
    layouts.table(heads, [[cell for _, cell in row] for row in columns], layout)


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
