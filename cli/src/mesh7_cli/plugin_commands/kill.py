"""`kubectl mesh7 kill`: refuse every call of an agent, or of everybody, from the next call on."""

import click

from mesh7_cli import exits, output, plugin_names, plugin_options
from mesh7_cli.cluster import flags
from mesh7_cli.cluster.kubectl import Kubectl
from mesh7_cli.verbs import kill


@click.command("kill")
@click.argument("given", metavar="[AGENT]", required=False, shell_complete=plugin_names.agents)
@click.option("--all", "is_all", is_flag=True, help="Every agent of the namespace.")
@click.option("--reason", metavar="TEXT", default="", help="Why; kept with your name.")
@plugin_options.wait
@plugin_options.dry_run
@plugin_options.form("table", "json", "yaml", "name")
@flags.connected
def command(  # noqa: PLR0913 - one parameter an option
    *,
    kubectl: Kubectl,
    given: str | None,
    is_all: bool,
    reason: str,
    wait_s: float,
    dry_run: str,
    form: str,
) -> int:
    """Refuse every call of AGENT from the next call on.

    AGENT is a service account, or `<namespace>/<name>` as requests show it; --all stops every
    agent of the namespace. It holds until `revoke`, with the name that is printed.
    """
    from mesh7_cli import plugin_approving  # noqa: PLC0415 - not for `--help`
    from mesh7_cli.approving import cluster  # noqa: PLC0415

    kill.check(given)
    namespace, agent = plugin_approving.agent(kubectl, given)
    asked = plugin_approving.home(kubectl, namespace, cluster.Manner(wait_s=wait_s))
    if (agent is None) != is_all:
        message = "name one AGENT, or say --all to stop every agent of the namespace"
        raise click.UsageError(message, ctx=click.get_current_context())
    chosen = output.Form(form)
    if dry_run == "none":
        return kill.run(asked, agent, reason, chosen)
    plugin_approving.show_dry(asked, [asked.veto(agent, reason)], dry_run, chosen)
    return exits.Exit.OK
