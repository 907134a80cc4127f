"""`kubectl mesh7 status`: how namespaces and their pods are guarded."""

from typing import TYPE_CHECKING

import click

from mesh7_cli import exits, output, plugin_options
from mesh7_cli.cluster import flags
from mesh7_cli.cluster.kubectl import Kubectl

if TYPE_CHECKING:
    from mesh7_cli.overview.gathering import Gathered


@click.command("status")
@plugin_options.all_namespaces
@plugin_options.form("table", "wide", "json", "yaml", "name")
@plugin_options.no_headers
@plugin_options.release_namespace
@flags.connected
def command(
    *, kubectl: Kubectl, everywhere: bool, form: str, no_headers: bool, release: str
) -> int:
    """Show how namespaces and their pods are guarded.

    One line a namespace, with -o wide one a pod. What you may not see is shown as `?`.
    """
    # 60 ms that `--help` has no use for.
    from mesh7_cli.overview import gathering, namespaces  # noqa: PLC0415

    found = gathering.gather(kubectl, None if everywhere else kubectl.namespace(), release)
    if form in {"json", "yaml"}:
        shown = {
            "namespaces": [namespaces.as_object(one) for one in found.overviews],
            "notes": list(found.notes),
        }
        output.write(shown, output.Form(form))
        return exits.Exit.OK
    if form == "name":
        for one in found.overviews:
            click.echo(f"namespace/{output.visible(one.name)}")
    elif form == "wide":
        rows = [row for one in found.overviews for row in namespaces.pod_rows(one)]
        _table(namespaces.POD_HEADS, rows, no_headers=no_headers)
    else:
        rows = [namespaces.row(one) for one in found.overviews]
        _table(namespaces.HEADS, rows, no_headers=no_headers)
    _tell(found, is_wide=form == "wide")
    return exits.Exit.OK


def _table(heads: tuple[str, ...], rows: list[list[str]], *, no_headers: bool) -> None:
    if no_headers:
        output.bare_table(rows)
    else:
        output.table(heads, rows)


def _tell(found: "Gathered", *, is_wide: bool) -> None:
    for note in found.notes:
        output.note(note)
    if not found.overviews and found.is_blind:
        output.note("which namespaces are enrolled cannot be seen – name one with -n")
    elif not found.overviews:
        output.note(
            "no namespace is enrolled – `kubectl label namespace NAME mesh7.dev/injection=enabled`"
        )
    elif is_wide and not any(one.guarded or one.unguarded for one in found.overviews):
        output.note("no pod is guarded, and none asks for it")
