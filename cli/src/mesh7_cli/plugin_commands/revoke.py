"""`kubectl mesh7 revoke`: end standing grants, vetoes and kills."""

import click

from mesh7_cli import output, plugin_names, plugin_options
from mesh7_cli.cluster import flags
from mesh7_cli.cluster.kubectl import Kubectl


@click.command("revoke")
@click.argument(
    "grants", metavar="NAME...", nargs=-1, required=True, shell_complete=plugin_names.grants
)
@plugin_options.dry_run
@plugin_options.form("table", "json", "yaml", "name")
@flags.connected
def command(*, kubectl: Kubectl, grants: tuple[str, ...], dry_run: str, form: str) -> int:
    """End standing grants, vetoes and kills, each by its whole NAME.

    An answer to a call that still waits is taken back. Lifting a veto needs the verb `approve` on
    all policies of the namespace.
    """
    from mesh7_cli import plugin_approving  # noqa: PLC0415 - not for `--help`
    from mesh7_cli.approving import cluster  # noqa: PLC0415
    from mesh7_cli.verbs import revoke  # noqa: PLC0415

    asked = plugin_approving.home(kubectl, manner=cluster.Manner(dry_run=dry_run))
    names = plugin_approving.bare(grants, asked.voice.grant_kind)
    ended = revoke.run(asked, names, output.Form(form))
    if dry_run != "none":
        output.note("a dry run: nothing was deleted")
    return plugin_approving.code(ended)
