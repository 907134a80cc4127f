"""`kubectl mesh7 grant`: a standing permission, bounded by time and by the rule that it relaxes."""

from datetime import timedelta

import click

from mesh7_cli import exits, output, plugin_names, plugin_options
from mesh7_cli.cluster import flags
from mesh7_cli.cluster.kubectl import Kubectl
from mesh7_cli.verbs import grant


@click.command("grant")
@grant.offered(tools=plugin_names.tools, policies=plugin_names.policies)
@click.option(
    "--agent",
    "given",
    metavar="NAME",
    shell_complete=plugin_names.agents,
    help="For this agent (service account).",
)
@click.option("--pod", metavar="NAME", shell_complete=plugin_names.pods, help="For this pod alone.")
@plugin_options.wait
@plugin_options.dry_run
@plugin_options.form("table", "json", "yaml", "name")
@plugin_options.release_namespace
@flags.connected
def command(  # noqa: PLR0913 - one parameter an option
    *,
    kubectl: Kubectl,
    tool: str,
    span: timedelta,
    uses: int | None,
    when: str | None,
    policy: str | None,
    reason: str,
    given: str | None,
    pod: str | None,
    wait_s: float,
    dry_run: str,
    form: str,
    release: str,
) -> int:
    """Let calls to TOOL pass for a while without asking each time.

    TOOL is `<source>.<tool>` or a glob of such names; say for whom with --agent or --pod. Only
    rules that say `grantable` can be relaxed, and only within what they say; a Deny and a limit
    are never lifted.
    """
    from mesh7_cli import plugin_approving  # noqa: PLC0415 - not for `--help`
    from mesh7_cli.approving import cluster  # noqa: PLC0415

    terms = grant.Terms(tool=tool, span=span, uses=uses, when=when, policy=policy, reason=reason)
    grant.check(terms, "kubectl mesh7")
    if (given is None) == (pod is None):
        message = "say whose calls: exactly one of --agent and --pod"
        raise click.UsageError(message, ctx=click.get_current_context())
    namespace, name = plugin_approving.agent(kubectl, given)
    asked = plugin_approving.home(
        kubectl, namespace, cluster.Manner(wait_s=wait_s, release=release)
    )
    chosen = output.Form(form)
    if dry_run == "none":
        grant.run(asked, terms, name, chosen, pod)
        return exits.Exit.OK
    manifest, note = asked.permission(grant.wish(terms, name, pod))
    plugin_approving.show_dry(asked, [manifest], dry_run, chosen)
    output.note(note)
    return exits.Exit.OK
