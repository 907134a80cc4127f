"""Definitions accepted in the ToolSources of a namespace; the API server asks for verb `accept`."""

from collections.abc import Mapping, Sequence

import click

from mesh7_cli import definitions, output, reading, spelled
from mesh7_cli.cluster.kubectl import Kubectl, Object
from mesh7_cli.pinning import listing, reported
from mesh7_cli.verbs import tools as verb


def accept(kubectl: Kubectl, tools: Sequence[str], sources: Sequence[str], dry_run: str) -> None:
    """Show the digests of tools as sidecars report them, and write them into their sources.

    Args:
        kubectl: the person's.
        tools: full names.
        sources: of which all tools are meant.
        dry_run: `client` shows what would be written; `server` asks whether this person may, too.

    Raises:
        click.UsageError: nothing is named.
        ManifestError: a name is not there; nothing has been written.
        ClusterError: a source could not be written; those told of before are.
    """
    if not tools and not sources:
        raise verb.nothing_named()
    found = listing.sources(kubectl)
    defined = [one for each in found.values() for one in reported.tools(each)]
    wanted = verb.wanted(defined, tools, sources, listing.PROGRAM)
    fresh = verb.fresh(wanted)
    for tool in fresh:
        click.echo("\n".join([*definitions.shown(tool), ""]))
    digests = verb.digests(fresh)
    for name, accepted in digests.items():
        _write(kubectl, found[name], accepted, dry_run)
    click.echo(verb.summary(len(fresh), len(wanted), dry_run=dry_run != "none"))
    for warning in verb.unpinned(map(reported.shape, found.values()), digests):
        output.note(warning)


def _write(kubectl: Kubectl, source: Object, digests: Mapping[str, str], dry_run: str) -> None:
    if dry_run != "none":
        click.echo("\n".join(map(output.visible, reported.lines(source, digests))))
    if dry_run == "client":
        return
    name = output.visible(reading.text(source, "metadata", "name"))
    words = ["patch", listing.RESOURCE, name, f"--namespace={kubectl.namespace()}"]
    # An argument has less room than a list of 500 digests takes.
    words += ["--type=merge", "--patch-file=/dev/stdin", "--output=name"]
    words += ["--dry-run=server"] if dry_run == "server" else []
    kubectl.text(*words, stdin=spelled.compact(reported.accepting(source, digests)))
    if dry_run == "none":
        click.echo(f"wrote toolsource/{name}")
