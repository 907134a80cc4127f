"""`kubectl mesh7 tools`: what sources list, and which definitions people accepted."""

import click

from mesh7_cli import exits, plugin_names, plugin_options
from mesh7_cli.cluster import flags
from mesh7_cli.cluster.kubectl import Kubectl


@click.group("tools", invoke_without_command=True)
@click.option(
    "--source",
    metavar="NAME",
    shell_complete=plugin_names.sources,
    help="Only the tools of this source.",
)
@plugin_options.form("table", "json", "yaml")
@flags.connected
def command(*, kubectl: Kubectl, source: str | None, form: str) -> int:
    """List the tools of a namespace's sources, and how their definitions stand.

    Names and digests are those that sidecars report. Where sources are pinned, the column
    `definition` says how a tool stands to what people accepted: accepted, changed, new, or - for
    one that is not pinned. Tools that `pinning: Enforce` hides follow, and are said to be.
    """
    # 100 ms that `--help` has no use for.
    from mesh7_cli.pinning import listing  # noqa: PLC0415
    from mesh7_cli.verbs import tools  # noqa: PLC0415

    context = click.get_current_context()
    if context.invoked_subcommand is not None:
        tools.refuse_misplaced(context, context.invoked_subcommand)
        return exits.Exit.OK
    listing.show(kubectl, source, form)
    return exits.Exit.OK


@command.command("accept")
@click.argument("tools", metavar="[NAME]...", nargs=-1, shell_complete=plugin_names.unaccepted)
@click.option(
    "--all", "sources", metavar="SOURCE", multiple=True, shell_complete=plugin_names.sources,
    help="All tools of this source; may be given again.",
)  # fmt: skip
@plugin_options.dry_run
@flags.connected
def accept(
    *, kubectl: Kubectl, tools: tuple[str, ...], sources: tuple[str, ...], dry_run: str
) -> int:
    """Accept the definitions of tools as sidecars see them now, in their ToolSource.

    NAME is `<source>.<tool>`. Needs the verb `accept` on the source (ClusterRole mesh7-admin).
    """
    from mesh7_cli.pinning import accepting  # noqa: PLC0415 - see above

    accepting.accept(kubectl, tools, sources, dry_run)
    return exits.Exit.OK
