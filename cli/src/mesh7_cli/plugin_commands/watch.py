"""`kubectl mesh7 watch`: held calls as they come, decided by single keys on a terminal."""

import signal
import sys

import click

from mesh7_cli import exits, output, plugin_options
from mesh7_cli.cluster import flags
from mesh7_cli.cluster.kubectl import Kubectl


@click.command("watch")
@plugin_options.all_namespaces
@click.option(
    "-o",
    "--output",
    "form",
    type=click.Choice([output.Form.TABLE.value, output.Form.JSON.value, output.Form.YAML.value]),
    help="Print each change and decide nothing: a line, a JSON object a line, or a YAML document.",
)
@flags.connected
def command(*, kubectl: Kubectl, everywhere: bool, form: str | None) -> int:
    """Show held calls as they come.

    On a terminal each is shown as a card, and single keys decide: `a` says yes, `d` no, `s` goes
    on to the next, `?` explains, `q` quits. Elsewhere, and with -o, each change is a line and
    nothing can be decided.
    """
    # Threads and terminals are only for who watches.
    from mesh7_cli import following, plugin_approving, watching  # noqa: PLC0415
    from mesh7_cli.approving import live  # noqa: PLC0415

    # Ended as by Ctrl-C: no kubectl is left behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.default_int_handler)
    namespace = None if everywhere else kubectl.namespace()
    source = live.ClusterChanges(kubectl.alike(), namespace)
    with following.Follower(source) as follower:
        if form is None and sys.stdin.isatty() and sys.stdout.isatty():
            watching.decide_from_the_keyboard(
                plugin_approving.watched(kubectl, namespace), follower
            )
        else:
            watching.print_changes(follower, output.Form(form or output.Form.TABLE))
    return exits.Exit.OK
