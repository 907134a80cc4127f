"""`kubectl mesh7 approve`: say yes to held calls."""

import click

from mesh7_cli import plugin_names, plugin_options
from mesh7_cli.backend import Pin
from mesh7_cli.cluster import flags
from mesh7_cli.cluster.kubectl import Kubectl


@click.command("approve")
@plugin_names.some_requests
@click.option("--reason", metavar="TEXT", default="", help="Why; kept with your name.")
@click.option("--unseen", is_flag=True, help="Though not all that is forwarded is shown.")
@plugin_options.pin
@plugin_options.wait
@plugin_options.dry_run
@plugin_options.form("table", "json", "yaml", "name")
@flags.connected
def command(  # noqa: PLR0913 - its options
    *,
    kubectl: Kubectl,
    identifiers: tuple[str, ...],
    reason: str,
    unseen: bool,
    pin: Pin,
    wait_s: float,
    dry_run: str,
    form: str,
) -> int:
    """Say yes to held calls, each by its whole NAME.

    A yes is for one exact call, once, by the pod that asked. Look at it first with `show`. It is
    a Grant for each policy that asks, and needs the verb `approve` on that policy.
    """
    from mesh7_cli import plugin_approving  # noqa: PLC0415 - not for `--help`

    return plugin_approving.answer(
        kubectl,
        "approve",
        identifiers,
        reason,
        wait_s=wait_s,
        dry_run=dry_run,
        form=form,
        unseen=unseen,
        pin=pin,
    )
