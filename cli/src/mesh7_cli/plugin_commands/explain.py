"""`kubectl mesh7 explain`: why a call of a pod would be allowed or refused, or why one was."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from mesh7_cli import exits, output, plugin_auditing, plugin_names, plugin_options
from mesh7_cli.cluster import flags
from mesh7_cli.cluster.kubectl import Kubectl

if TYPE_CHECKING:
    from mesh7_cli.explaining.delivered import Versions


@click.command("explain")
@click.argument("pod", metavar="POD|ID", shell_complete=plugin_names.pods)
@click.argument("tool", required=False)
@click.argument("json_text", metavar="[JSON|@FILE|-]", required=False)
@click.option("--http", "request", metavar="'METHOD PATH'", help="Request line of a plain call.")
@plugin_auditing.wait()
@plugin_options.form("table", "json", "yaml")
@flags.connected
def command(  # noqa: PLR0913 - one argument a flag
    *,
    kubectl: Kubectl,
    pod: str,
    tool: str | None,
    json_text: str | None,
    request: str | None,
    wait_s: float,
    form: str,
) -> int:
    """Say why a call to TOOL by POD would be allowed or refused, rung by rung.

    TOOL is `<source>.<tool>`; with --http 'GET /path?query' it may be the source alone. Judged by
    the bundle in the pod's namespace, once it is seen to be the controller's, and with the grants
    and vetoes in force; limits as if nothing had been called yet.

    With the whole ID of an audit record or of a request alone, say why that call was decided as it
    was: from its record, whatever the policies are now. Needs ClusterRole mesh7-auditor.
    """
    if tool is None:
        _recount(kubectl, pod, request, wait_s, output.Form(form))
        return exits.Exit.OK
    # 200 ms that `--help` has no use for: the compiler.
    from mesh7_cli import arguments  # noqa: PLC0415
    from mesh7_cli.explaining import gathering, obeyed  # noqa: PLC0415
    from mesh7_cli.verbs import explain as explained  # noqa: PLC0415
    from mesh7_core.policy import explain, view  # noqa: PLC0415

    given = arguments.read(json_text)
    found = gathering.survey(kubectl, pod)
    here = found.in_force
    call = explained.call_of(here.bundle, found.agent, tool, request, given)
    seen = view.view_of(here.bundle, found.agent, here.grants)
    explanation = explain.offline(seen, call, datetime.now(UTC))
    notes = [
        *explained.notes_of(here.bundle, call),
        *found.notes,
        *obeyed.notes(here.versions, found.obeyed, found.selecting),
    ]
    if form == "table":
        explained.show(explanation, notes)
        return exits.Exit.OK
    told = {
        "pod": pod,
        "agent": f"{found.agent.namespace}/{found.agent.service_account}",
        "versions": _versions(here.versions),
        "obeyed": None if found.obeyed is None else _versions(found.obeyed),
    }
    output.write(told | explained.as_object(call, explanation, notes), output.Form(form))
    return exits.Exit.OK


def _recount(
    kubectl: Kubectl, identifier: str, request: str | None, wait_s: float, form: output.Form
) -> None:
    """Why a call was decided as it was."""
    from mesh7_cli.verbs import recalled, recount  # noqa: PLC0415 - not for `--help`

    if request is not None or not recalled.is_id(identifier):
        message = "name the TOOL that the pod would call, or the ID of an audit record alone"
        raise click.UsageError(message, ctx=click.get_current_context())
    recount.run(plugin_auditing.records(kubectl, wait_s), identifier, form)


def _versions(found: "Versions") -> dict[str, int]:
    return {kind.value: version for kind, version in found.items()}
