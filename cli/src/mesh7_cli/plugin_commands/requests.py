"""`kubectl mesh7 requests`: the calls that wait for people."""

from datetime import UTC, datetime

import click

from mesh7_cli import exits, plugin_options
from mesh7_cli.cluster import flags
from mesh7_cli.cluster.kubectl import Kubectl


@click.command("requests")
@click.option("--all", "is_all", is_flag=True, help="Closed ones of the last 24 hours too.")
@plugin_options.all_namespaces
@plugin_options.form("table", "wide", "json", "yaml", "name")
@plugin_options.no_headers
@flags.connected
def command(
    *, kubectl: Kubectl, is_all: bool, everywhere: bool, form: str, no_headers: bool
) -> int:
    """List the calls that wait for people.

    The approved ones that wait for their one use are there too; oldest first. `show` tells what
    one would do, `approve` and `deny` decide.
    """
    from mesh7_cli import plugin_approving  # noqa: PLC0415 - not for `--help`
    from mesh7_cli.verbs import requests  # noqa: PLC0415

    asked = plugin_approving.home(kubectl, everywhere=everywhere)
    layout = plugin_approving.layout(form, everywhere=everywhere, no_headers=no_headers)
    requests.run(asked, layout, datetime.now(UTC), is_all=is_all)
    return exits.Exit.OK
