"""`mesh7 tools`: what the agent may call or ask for, and which definitions people accepted."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import click
from click.core import ParameterSource

from mesh7_cli import options, output, reading
from mesh7_core import errors

ACCEPTED = "accepted"
STATES = frozenset({ACCEPTED, "changed", "new"})
"""Of a definition that is pinned."""
CONTROL = "/control/tools"
Tool = Mapping[str, object]


@click.group("tools", invoke_without_command=True)
@click.option("--source", metavar="NAME", help="Only the tools of this source.")
@options.state
@options.form
@click.pass_context
def command(
    context: click.Context,
    source: str | None,
    directory: Path,
    state: Path | None,
    form: output.Form,
) -> None:
    """List the tools that the agent may call or ask for, as an agent would see them.

    A tool that policy denies whatever its arguments is not listed. Where sources are pinned, the
    column `definition` says how a tool stands to what people accepted: accepted, changed, new, or
    - for one that is not pinned. Tools that `pinning: Enforce` hides follow, and are said to be.
    """
    if context.invoked_subcommand is not None:
        _refuse_misplaced(context, context.invoked_subcommand)
        return
    from mesh7_cli import gateway  # noqa: PLC0415 - 60 ms only for who talks to a gateway

    running = gateway.Gateway(options.state_folder(directory, state))
    seen = _of_source(source, reading.objects(running.get("/v1/tools"), "tools"))
    defined = reading.objects(running.get(CONTROL), "tools")
    known = {_full_name(tool): tool for tool in defined}
    hidden = _of_source(source, [_as_listed(tool) for tool in defined if _is_hidden(tool)])
    if form is not output.Form.TABLE:
        shown = [_stands(known[name]) for name in _names([*seen, *hidden]) if name in known]
        output.write({"tools": seen, "definitions": shown}, form)
    elif seen or hidden:
        _table(seen, hidden, known)
    else:
        click.echo("no tool may be called – see `mesh7 status` for the state of the sources")


@command.command("accept")
@click.argument("tools", metavar="[NAME]...", nargs=-1)
@click.option(
    "--all", "sources", metavar="SOURCE", multiple=True,
    help="All tools of this source; may be given again.",
)  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Show what would be written, and write nothing.")
@options.state
def accept(
    tools: tuple[str, ...],
    sources: tuple[str, ...],
    dry_run: bool,  # noqa: FBT001 - a flag on the command line
    directory: Path,
    state: Path | None,
) -> None:
    """Accept the definitions of tools as they are now, and write that into their manifest.

    NAME is `<source>.<tool>`. Each definition is shown, and what changed when that is known.
    """
    if not tools and not sources:
        message = "name tools as `<source>.<tool>`, or a source with --all"
        raise click.UsageError(message)
    # The compiler is only for who compiles.
    from mesh7_cli import accepting, definitions, gateway  # noqa: PLC0415

    running = gateway.Gateway(options.state_folder(directory, state))
    status, answer = running.get("/control/status"), running.get(CONTROL)
    wanted = _wanted(reading.objects(answer, "tools"), tools, sources)
    fresh = [tool for tool in wanted if reading.text(tool, "state") != ACCEPTED]
    for tool in fresh:
        click.echo("\n".join([*definitions.shown(tool), ""]))
    digests = _digests(fresh)
    folder, namespace = Path(reading.text(status, "directory")), reading.text(status, "namespace")
    edits = accepting.edits(folder, digests, namespace or None) if fresh else []
    for edit in edits:
        if dry_run:
            click.echo("\n".join(edit.lines()))
        else:
            edit.write()
            click.echo(f"wrote {output.visible(str(edit.path))}")
    click.echo(_summary(len(fresh), len(wanted), dry_run=dry_run))
    _warn_unpinned(reading.objects(answer, "sources"), digests)


def _refuse_misplaced(context: click.Context, subcommand: str) -> None:
    """An option that stands before the subcommand would be passed over in silence."""
    for name in context.params:
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            message = f"write options after `{subcommand}`"
            raise click.UsageError(message)


def _wanted(
    defined: Iterable[Tool], tools: tuple[str, ...], sources: tuple[str, ...]
) -> list[Tool]:
    """What the command line names; every name must be there."""
    known = {_full_name(tool): tool for tool in defined}
    listing = {reading.text(tool, "source") for tool in known.values()}
    for name in tools:
        if name not in known:
            message = f"no source lists a tool `{output.visible(name)}` – see `mesh7 tools`"
            raise errors.ManifestError(message)
    for source in sources:
        if source not in listing:
            message = f"source `{output.visible(source)}` lists no tool – see `mesh7 status`"
            raise errors.ManifestError(message)
    return [
        tool
        for name, tool in known.items()
        if name in tools or reading.text(tool, "source") in sources
    ]


def _digests(tools: Iterable[Tool]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for tool in tools:
        of_source = found.setdefault(reading.text(tool, "source"), {})
        of_source[reading.text(tool, "name")] = reading.text(tool, "digest")
    return found


def _summary(fresh: int, wanted: int, *, dry_run: bool) -> str:
    if not fresh:
        return f"nothing to do: {_counted(wanted)} accepted already"
    if dry_run:
        return f"{_counted(fresh)} would be accepted – run it without --dry-run to do so"
    return f"{_counted(fresh)} accepted"


def _counted(number: int) -> str:
    return f"{number} tool{'' if number == 1 else 's'}"


def _warn_unpinned(sources: Iterable[Mapping[str, object]], digests: Mapping[str, object]) -> None:
    for source in sources:
        name = reading.text(source, "name")
        if name in digests and reading.text(source, "pinning") == "Ignore":
            click.echo(
                f"pinning of `{name}` is `Ignore`, so that nothing is held against it – write"
                " `mode: Enforce` or `mode: Warn`",
                err=True,
            )


def _table(seen: list[Tool], hidden: list[Tool], known: Mapping[str, Tool]) -> None:
    rows = [_row(tool, known, "") for tool in seen]
    rows += [_row(tool, known, "(hidden) ") for tool in hidden]
    heads = ["tool", "definition", "description"]
    if not any(state in STATES for _, state, _ in rows):
        # Nothing is pinned: a column of dashes would say nothing.
        heads, rows = [heads[0], heads[2]], [[name, text] for name, _, text in rows]
    output.table(heads, rows)
    if hidden:
        click.echo(
            f"\n{_counted(len(hidden))} hidden until accepted – look with"
            " `mesh7 tools accept --dry-run NAME`"
        )


def _row(tool: Tool, known: Mapping[str, Tool], mark: str) -> list[str]:
    name = reading.text(tool, "name")
    state = reading.text(known.get(name, {}), "state")
    return [name, state, mark + _first_line(reading.text(tool, "description"))]


def _is_hidden(tool: Tool) -> bool:
    """Hidden by pinning, not by policy: what accepting it would show."""
    return reading.truth(tool, "mayCall") and not reading.truth(tool, "isServed")


def _as_listed(tool: Tool) -> Tool:
    return {**reading.one(tool, "definition", "tool"), "name": _full_name(tool)}


def _stands(tool: Tool) -> Mapping[str, object]:
    return {
        "name": _full_name(tool),
        "state": reading.text(tool, "state"),
        "isServed": reading.truth(tool, "isServed"),
        "digest": reading.text(tool, "digest"),
        "expected": reading.text(tool, "expected"),
    }


def _of_source(source: str | None, tools: Iterable[Tool]) -> list[Tool]:
    return [
        tool
        for tool in tools
        if source is None or reading.text(tool, "name").startswith(f"{source}.")
    ]


def _names(tools: Iterable[Tool]) -> list[str]:
    return [reading.text(tool, "name") for tool in tools]


def _full_name(tool: Tool) -> str:
    return f"{reading.text(tool, 'source')}.{reading.text(tool, 'name')}"


def _first_line(text: str) -> str:
    return text.strip().split("\n", 1)[0]
