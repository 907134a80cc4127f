"""`mesh7 tools`: what the agent may call or ask for, and which definitions people accepted."""

from collections.abc import Mapping
from pathlib import Path

import click

from mesh7_cli import options, output, reading

PROGRAM = "mesh7"
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
    from mesh7_cli.verbs import tools as verb  # noqa: PLC0415 - see below

    if context.invoked_subcommand is not None:
        verb.refuse_misplaced(context, context.invoked_subcommand)
        return
    from mesh7_cli import gateway  # noqa: PLC0415 - 60 ms only for who talks to a gateway

    running = gateway.Gateway(options.state_folder(directory, state))
    seen = verb.of_source(source, reading.objects(running.get("/v1/tools"), "tools"))
    defined = reading.objects(running.get(CONTROL), "tools")
    known = {verb.full_name(tool): tool for tool in defined}
    hidden = verb.of_source(source, [_as_listed(tool) for tool in defined if _is_hidden(tool)])
    if form is not output.Form.TABLE:
        shown = [known[name] for name in _names([*seen, *hidden]) if name in known]
        output.write({"tools": seen, "definitions": list(map(verb.stands, shown))}, form)
    elif seen or hidden:
        verb.table(seen, hidden, known, ("description", _described), PROGRAM)
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
    # The compiler is only for who compiles.
    from mesh7_cli import accepting, definitions, gateway  # noqa: PLC0415
    from mesh7_cli.verbs import tools as verb  # noqa: PLC0415

    if not tools and not sources:
        raise verb.nothing_named()
    running = gateway.Gateway(options.state_folder(directory, state))
    status, answer = running.get("/control/status"), running.get(CONTROL)
    wanted = verb.wanted(reading.objects(answer, "tools"), tools, sources, PROGRAM)
    fresh = verb.fresh(wanted)
    for tool in fresh:
        click.echo("\n".join([*definitions.shown(tool), ""]))
    digests = verb.digests(fresh)
    folder, namespace = Path(reading.text(status, "directory")), reading.text(status, "namespace")
    edits = accepting.edits(folder, digests, namespace or None) if fresh else []
    for edit in edits:
        if dry_run:
            click.echo("\n".join(edit.lines()))
        else:
            edit.write()
            click.echo(f"wrote {output.visible(str(edit.path))}")
    click.echo(verb.summary(len(fresh), len(wanted), dry_run=dry_run))
    for warning in verb.unpinned(reading.objects(answer, "sources"), digests):
        click.echo(warning, err=True)


def _is_hidden(tool: Tool) -> bool:
    """Hidden by pinning, not by policy: what accepting it would show."""
    return reading.truth(tool, "mayCall") and not reading.truth(tool, "isServed")


def _as_listed(tool: Tool) -> Tool:
    from mesh7_cli.verbs import tools as verb  # noqa: PLC0415 - see above

    return {**reading.one(tool, "definition", "tool"), "name": verb.full_name(tool)}


def _names(tools: list[Tool]) -> list[str]:
    return [reading.text(tool, "name") for tool in tools]


def _described(tool: Tool) -> str:
    return reading.text(tool, "description").strip().split("\n", 1)[0]
