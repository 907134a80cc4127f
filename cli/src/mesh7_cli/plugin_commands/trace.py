"""`kubectl mesh7 trace`: agent, policy, people and tool of one trace, drawn in the terminal."""

import click

from mesh7_cli import exits, output, plugin_auditing, plugin_options
from mesh7_cli.cluster import flags
from mesh7_cli.cluster.kubectl import Kubectl


@click.command("trace")
@click.argument("identifier", metavar="ID")
@plugin_options.all_namespaces
@plugin_auditing.wait()
@plugin_options.form("table", "json", "yaml")
@flags.connected
def command(
    *, kubectl: Kubectl, identifier: str, everywhere: bool, wait_s: float, form: str
) -> int:
    """Draw the calls of a trace in time: what policy, people and the tool took of each.

    ID is a trace, a record or a request, whole. Drawn from the audit records, so it is there for
    every call, whether or not its trace was sent anywhere. Needs ClusterRole mesh7-auditor.
    """
    from mesh7_cli import ids  # noqa: PLC0415 - not for `--help`
    from mesh7_cli.verbs import trace  # noqa: PLC0415

    asked = plugin_auditing.records(kubectl, wait_s, everywhere=everywhere)
    (whole,) = ids.whole([identifier], asked.voice.program)
    trace.run(asked, whole, output.Form(form))
    return exits.Exit.OK
