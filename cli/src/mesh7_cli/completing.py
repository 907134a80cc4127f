"""What the shell offers after `mesh7 approve `: ids and names that are there, or nothing.

A completion never complains: whoever presses TAB has not said anything yet.
"""

from pathlib import Path

import click
from click.shell_completion import CompletionItem

from mesh7_cli import neutral, options, reading
from mesh7_core import errors

PATIENCE_S = 0.5
OFFERED = 200
"""Ids of records: whoever wants an older one copies it."""


def request_ids(
    context: click.Context, _parameter: click.Parameter, begun: str
) -> list[CompletionItem]:
    """The ids of open requests, each with its tool and agent."""
    from mesh7_cli import control, gateway  # noqa: PLC0415 - 60 ms only for who talks to a gateway

    try:
        found = control.Control(gateway.Gateway(_state(context), PATIENCE_S)).requests("open")
    except (errors.Mesh7Error, click.ClickException):
        return []
    return [
        _item(reading.text(one, "id"), f"{reading.text(one, 'tool')} {reading.text(one, 'agent')}")
        for one in found
        if reading.text(one, "id").startswith(begun)
    ]


def grant_names(
    context: click.Context, _parameter: click.Parameter, begun: str
) -> list[CompletionItem]:
    """The names of standing grants made by hand, each with its reason."""
    from mesh7_cli import control, gateway  # noqa: PLC0415 - 60 ms only for who talks to a gateway

    try:
        found = control.Control(gateway.Gateway(_state(context), PATIENCE_S)).grants()
    except (errors.Mesh7Error, click.ClickException):
        return []
    return [
        _item(
            reading.text(one, "name"),
            f"{reading.text(one, 'effect')} {reading.text(one, 'reason')}",
        )
        for one in found
        if reading.text(one, "name").startswith(begun) and reading.text(one, "from") != "file"
    ]


def recorded_ids(
    context: click.Context, _parameter: click.Parameter, begun: str
) -> list[CompletionItem]:
    """The ids of the newest audit records, and of the requests that they are about."""
    from mesh7_cli.auditing import tail  # noqa: PLC0415 - only for who asks
    from mesh7_cli.verbs import recorded  # noqa: PLC0415 - likewise

    try:
        lines = tail.last_lines(_state(context))
    except errors.Mesh7Error:
        return []
    found: dict[str, str] = {}
    for line in lines:
        said = recorded.read(line.decode(errors="replace"))
        if said is not None and said.what != recorded.SEAL:
            meaning = f"{said.what} {reading.text(said.fields, 'tool')} {said.agent}"
            for one in (said.id, reading.text(said.fields, "requestId")):
                found.setdefault(one, meaning)
    return [
        _item(one, meaning)
        for one, meaning in list(found.items())[:OFFERED]
        if one and one.startswith(begun)
    ]


def _item(value: str, meaning: str) -> CompletionItem:
    return CompletionItem(neutral.line(value), help=neutral.line(meaning))


def _state(context: click.Context) -> Path:
    directory = context.params.get("directory")
    state = context.params.get("state")
    return options.state_folder(
        directory if isinstance(directory, Path) else Path(),
        state if isinstance(state, Path) else None,
    )
