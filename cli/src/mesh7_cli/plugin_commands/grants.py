"""`kubectl mesh7 grants`: the standing grants and vetoes."""

from datetime import UTC, datetime

import click

from mesh7_cli import exits, plugin_options
from mesh7_cli.cluster import flags
from mesh7_cli.cluster.kubectl import Kubectl


@click.command("grants")
@click.option("--all", "is_all", is_flag=True, help="Answers to held calls, too.")
@plugin_options.all_namespaces
@plugin_options.form("table", "wide", "json", "yaml", "name")
@plugin_options.no_headers
@flags.connected
def command(
    *, kubectl: Kubectl, is_all: bool, everywhere: bool, form: str, no_headers: bool
) -> int:
    """List the standing grants and vetoes."""
    from mesh7_cli import plugin_approving  # noqa: PLC0415 - not for `--help`
    from mesh7_cli.approving import cluster  # noqa: PLC0415
    from mesh7_cli.verbs import grants  # noqa: PLC0415

    asked = plugin_approving.home(
        kubectl, manner=cluster.Manner(has_answers=is_all), everywhere=everywhere
    )
    layout = plugin_approving.layout(form, everywhere=everywhere, no_headers=no_headers)
    grants.run(asked, layout, datetime.now(UTC))
    return exits.Exit.OK
