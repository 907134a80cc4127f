"""`mesh7 status`: how the running gateway is."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path

import click

from mesh7_cli import definitions, exits, options, output, reading

CALLS = ("allowed", "denied", "held", "refused")
SHOWN_DIGEST = len("sha256:") + 12


@click.command("status")
@options.state
@options.form
def command(directory: Path, state: Path | None, form: output.Form) -> int:
    """Say how the running gateway is: its bundle, its sources, what it refused.

    Exits 1 when an edit of the folder is broken: the last good set is then still in force.
    """
    from mesh7_cli import gateway  # noqa: PLC0415 - 60 ms only for who talks to a gateway

    running = gateway.Gateway(options.state_folder(directory, state))
    status = running.get("/control/status")
    if form is output.Form.TABLE:
        _show(status)
    else:
        output.write(status, form)
    return exits.Exit.WRONG if reading.texts(status, "problems") else exits.Exit.OK


def _show(status: Mapping[str, object]) -> None:
    for name, value in _lines(status):
        click.echo(f"{name:<10}{output.visible(value)}")
    rows = [
        [
            reading.text(source, "name"),
            reading.text(source, "kind"),
            reading.text(source, "state"),
            reading.text(source, "tools"),
            reading.text(source, "protocol"),
            reading.text(source, "error"),
        ]
        for source in reading.objects(status, "sources")
    ]
    if rows:
        click.echo()
    output.table(["source", "kind", "state", "tools", "protocol", "error"], rows)
    for source in reading.objects(status, "sources"):
        unsettled = definitions.unsettled(source)
        if unsettled:
            click.echo(f"\n{output.visible(unsettled)}")
    problems = reading.texts(status, "problems")
    if problems:
        click.echo("\nthe last edit is broken, the set before it is still in force:")
        for problem in problems:
            click.echo(f"  {output.visible(problem)}")


def _lines(status: Mapping[str, object]) -> list[tuple[str, str]]:
    uptime = timedelta(seconds=reading.number(status, "uptimeSeconds"))
    calls = reading.one(status, "calls")
    listen = reading.text(status, "listen")
    return [
        (
            "mesh7",
            f"{reading.text(status, 'version')}, pid {reading.text(status, 'pid')}, up {uptime}",
        ),
        ("folder", reading.text(status, "directory")),
        ("agent", f"{reading.text(status, 'namespace')}/{reading.text(status, 'agent')}"),
        ("listens", f"http://{listen}" if listen else "only on the socket (mesh7 stdio)"),
        ("admin", f"http://{admin}" if (admin := reading.text(status, "admin")) else "off"),
        ("bundle", _bundle(reading.one(status, "bundle"))),
        (
            "calls",
            ", ".join(f"{reading.number(calls, key)} {key}" for key in CALLS),
        ),
        *_asking(status),
    ]


def _asking(status: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """The ledger, what waits for people and what stands; nothing of a gateway without them."""
    ledger = reading.one(status, "ledger")
    if ledger:
        trouble = reading.text(ledger, "trouble")
        home = reading.text(ledger, "home")
        yield "ledger", f"{home}, lost: {trouble}" if trouble else home
    if "requests" in status:
        waiting = reading.number(status, "requests", "open")
        yield "requests", f"{waiting} open{', see `mesh7 requests`' if waiting else ''}"
    if "standing" in status:
        grants = _counted(reading.number(status, "standing", "grants"), "grant", "grants")
        vetoes = _counted(reading.number(status, "standing", "vetoes"), "veto", "vetoes")
        yield "standing", f"{grants}, {vetoes}"


def _bundle(bundle: Mapping[str, object]) -> str:
    digest = reading.text(bundle, "digest")
    if not digest:
        return "none yet, every call is denied"
    since = reading.text(bundle, "loadedAt").partition(".")[0].partition("+")[0]
    policies = _counted(reading.number(bundle, "policies"), "policy", "policies")
    sources = _counted(reading.number(bundle, "sources"), "source", "sources")
    return f"{digest[:SHOWN_DIGEST]} since {since} UTC, {policies}, {sources}"


def _counted(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
