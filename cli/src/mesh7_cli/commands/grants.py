"""`mesh7 grants`: the standing grants and vetoes."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import click

from mesh7_cli import options, output, reading, spans


@click.command("grants")
@options.state
@options.list_form
def command(directory: Path, state: Path | None, form: output.Form) -> None:
    """List the standing grants and vetoes, made by hand or by files of the folder."""
    from mesh7_cli import control, gateway  # noqa: PLC0415 - 60 ms only for who talks to a gateway

    found = control.grants(gateway.Gateway(options.state_folder(directory, state)))
    if form is output.Form.NAME:
        for one in found:
            click.echo(output.visible(reading.text(one, "name")))
    elif form is not output.Form.TABLE:
        output.write(found, form)
    elif not found:
        click.echo("no grants and no vetoes stand")
    else:
        heads = ["name", "effect", "tools", "who", "policy", "expires in", "uses", "by", "reason"]
        output.table(heads, [_row(one, datetime.now(UTC)) for one in found])


def _row(one: Mapping[str, object], now: datetime) -> list[str]:
    who = reading.text(one, "agent") or reading.text(one, "pod") or "everybody"
    by = reading.text(one, "by") or f"a {reading.text(one, 'from')}"
    return [
        reading.text(one, "name"),
        reading.text(one, "effect"),
        " ".join(reading.texts(one, "tools")),
        who,
        reading.text(one, "policy"),
        spans.until(reading.moment(one, "expiresAt"), now),
        _uses(one),
        by,
        reading.text(one, "reason"),
    ]


def _uses(one: Mapping[str, object]) -> str:
    if reading.text(one, "effect") == "Deny":
        return ""
    used = reading.text(one, "used") or "?"
    most = reading.number(one, "maxUses")
    return f"{used} of {most}" if most else used
