"""`kubectl mesh7 deny`: say no to held calls."""

import click

from mesh7_cli import plugin_names, plugin_options
from mesh7_cli.backend import Pin
from mesh7_cli.cluster import flags
from mesh7_cli.cluster.kubectl import Kubectl


@click.command("deny")
@plugin_names.some_requests
@click.option("--reason", metavar="TEXT", default="", help="Why; the agent reads it.")
@plugin_options.pin
@plugin_options.wait
@plugin_options.dry_run
@plugin_options.form("table", "json", "yaml", "name")
@flags.connected
def command(  # noqa: PLR0913 - one parameter an option
    *,
    kubectl: Kubectl,
    identifiers: tuple[str, ...],
    reason: str,
    pin: Pin,
    wait_s: float,
    dry_run: str,
    form: str,
) -> int:
    """Say no to held calls, each by its whole NAME.

    The agent is told at once, with the reason; the same call is not asked again for a while. One
    no is enough, and needs the verb `approve` on a policy that asks.
    """
    from mesh7_cli import plugin_approving  # noqa: PLC0415 - not for `--help`

    return plugin_approving.answer(
        kubectl, "deny", identifiers, reason, wait_s=wait_s, dry_run=dry_run, form=form, pin=pin
    )
