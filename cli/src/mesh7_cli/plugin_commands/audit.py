"""`kubectl mesh7 audit`: what was called, decided and done, and whether the audit is sound."""

import click

from mesh7_cli import audit_options, exits, output, plugin_auditing, plugin_options
from mesh7_cli.cluster import flags
from mesh7_cli.cluster.kubectl import Kubectl
from mesh7_cli.records import Wish


@click.group("audit", invoke_without_command=True)
@audit_options.wish
@plugin_options.all_namespaces
@plugin_auditing.wait()
@plugin_options.form("table", "wide", "json", "jsonl", "yaml")
@flags.connected
def command(*, kubectl: Kubectl, wish: Wish, everywhere: bool, wait_s: float, form: str) -> int:
    """Show what was called, decided and done, newest first.

    Asked of the controller by an AuditQuery in the namespace, which is deleted once it is
    answered; needs ClusterRole mesh7-auditor there. All that is asked must be true of a record.
    """
    from mesh7_cli.verbs import audit, tools  # noqa: PLC0415 - not for `--help`

    context = click.get_current_context()
    if context.invoked_subcommand is not None:
        tools.refuse_misplaced(context, context.invoked_subcommand)
        return exits.Exit.OK
    if everywhere and wish.cursor:
        message = "a cursor is of one namespace – name it with -n, or go on with --until"
        raise click.UsageError(message, ctx=context)
    asked = plugin_auditing.records(kubectl, wait_s, everywhere=everywhere)
    audit.run(asked, wish, audit.Shape(form))
    return exits.Exit.OK


@command.command("verify")
@plugin_options.all_namespaces
@plugin_options.release_namespace
@plugin_auditing.wait(plugin_auditing.VERIFY_S)
@plugin_options.form("table", "json", "yaml")
@flags.connected
def verify(*, kubectl: Kubectl, everywhere: bool, release: str, wait_s: float, form: str) -> int:
    """See that nothing of the audit was edited, cut, reordered or left out.

    The controller holds all that is kept against its blocks' hashes, and against the heads that it
    signed before. The signature of those is checked here, too, where you may read them.
    """
    from mesh7_cli import plugin_approving  # noqa: PLC0415 - not for `--help`
    from mesh7_cli.querying import everywhere as places  # noqa: PLC0415
    from mesh7_cli.querying import showing, verifying  # noqa: PLC0415
    from mesh7_cli.querying.asking import Asking, together  # noqa: PLC0415

    asking = Asking(kubectl, plugin_approving.new_suffix, wait_s)
    meant = places.namespaces(kubectl) if everywhere else [kubectl.namespace()]
    verdicts = together(
        asking, meant, lambda one, at: verifying.verify(kubectl.alike(), one, at, release)
    )
    showing.show(verdicts, output.Form(form))
    return exits.Exit.OK if all(one.is_sound for one in verdicts) else exits.Exit.WRONG
