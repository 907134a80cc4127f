"""`kubectl mesh7 show`: everything that a person needs to decide about one held call."""

from datetime import UTC, datetime

import click

from mesh7_cli import exits, output, plugin_names, plugin_options
from mesh7_cli.cluster import flags
from mesh7_cli.cluster.kubectl import Kubectl


@click.command("show")
@click.argument("identifier", metavar="NAME", shell_complete=plugin_names.requests)
@plugin_options.form("table", "wide", "json", "yaml", "name")
@flags.connected
def command(*, kubectl: Kubectl, identifier: str, form: str) -> int:
    """Show one held call: who asks, for what, by which rules.

    And what people have said so far. The arguments stand there as the tool would get them, but
    for what policies hide and what is cut of long ones. What a terminal would obey or hide is
    spelled as an escape.
    """
    from mesh7_cli import ids, plugin_approving  # noqa: PLC0415 - not for `--help`
    from mesh7_cli.verbs import show  # noqa: PLC0415

    asked = plugin_approving.home(kubectl)
    given = plugin_approving.bare([identifier], asked.voice.request_kind)
    (whole,) = ids.whole(given, asked.voice.program)
    # What `wide` adds elsewhere stands there anyway.
    chosen = output.Form.TABLE if form == "wide" else output.Form(form)
    show.run(asked, whole, chosen, datetime.now(UTC))
    return exits.Exit.OK
