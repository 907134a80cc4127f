"""The verb `requests`: the calls that wait for people."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

import click

from mesh7_cli import cards, output, reading, spans
from mesh7_cli.backend import Backend
from mesh7_cli.verbs.layout import Layout, Names, show

LONG_QUEUE = 10
ENDS = {cards.PENDING: "expiresAt", "approved": "usableUntil"}


def run(backend: Backend, layout: Layout, now: datetime, *, is_all: bool) -> None:
    """List them, oldest first."""
    found = backend.requests("all" if is_all else "open")
    voice = backend.voice
    names = Names(key="id", kind=voice.request_kind, nothing=f"nothing waits{voice.place}")
    show(found, layout, names, lambda one: _columns(one, layout, now))
    if not found and layout.form is output.Form.TABLE:
        output.note(backend.hint())
    waiting = sum(reading.text(one, "state") == cards.PENDING for one in found)
    if waiting >= LONG_QUEUE and layout.form is output.Form.TABLE:
        stop = voice.command("kill", "AGENT")
        note = f"{waiting} calls wait – `{stop}` stops an agent that asks too much"
        click.echo(note, err=True)


def _columns(one: Mapping[str, object], layout: Layout, now: datetime) -> Iterator[tuple[str, str]]:
    """Heads and cells."""
    state = reading.text(one, "state")
    end = ENDS.get(state)
    if layout.has_namespaces:
        yield "namespace", reading.text(one, "namespace")
    yield "id", reading.text(one, "id")
    yield "state", state
    yield "tool", reading.text(one, "tool")
    yield "agent", reading.text(one, "agent")
    yield "age", spans.since(reading.moment(one, "openedAt"), now)
    yield "expires in", spans.until(reading.moment(one, end), now) if end else ""
    if layout.is_wide:
        yield "pod", reading.text(one, "pod")
        yield "missing", "; ".join(_missing(one, state))
    yield "rules", ", ".join(reading.text(rule, "rule") for rule in reading.objects(one, "rules"))


def _missing(one: Mapping[str, object], state: str) -> Sequence[str]:
    return cards.missing(one) if state == cards.PENDING else ()
