"""The tools of a namespace's sources, listed."""

from collections.abc import Mapping
from typing import Final

import click

from mesh7_cli import output, reading
from mesh7_cli.cluster.kubectl import Kubectl, Object
from mesh7_cli.pinning import reported
from mesh7_cli.verbs import tools as verb
from mesh7_cli.verbs.tools import Tool
from mesh7_core import names

PROGRAM: Final = "kubectl mesh7"
RESOURCE: Final = f"toolsources.{names.GROUP}"


def sources(kubectl: Kubectl) -> Mapping[str, Object]:
    """Those of the namespace that commands are about, by name.

    Raises:
        ClusterError: they cannot be seen.
    """
    here = f"--namespace={kubectl.namespace()}"
    return reported.named(reading.objects(kubectl.listed("get", RESOURCE, here), "items"))


def show(kubectl: Kubectl, only: str | None, form: str) -> None:
    """Print the tools of one source, or of all; notes go to stderr.

    Raises:
        ClusterError: they cannot be seen.
    """
    chosen = [one for name, one in sources(kubectl).items() if only in {None, name}]
    known = {verb.full_name(one): one for each in chosen for one in reported.tools(each)}
    if form != "table":
        listed = list(map(_listed, known.values()))
        stands = list(map(verb.stands, known.values()))
        output.write({"tools": listed, "definitions": stands}, output.Form(form))
    elif known:
        _print(known)
    else:
        click.echo("no source lists a tool – see `kubectl get toolsources`")
    for each in chosen:
        for note in reported.notes(each):
            output.note(note)


def _print(known: Mapping[str, Tool]) -> None:
    served = [_listed(one) for one in known.values() if reading.truth(one, "isServed")]
    hidden = [_listed(one) for one in known.values() if not reading.truth(one, "isServed")]
    verb.table(served, hidden, known, ("digest", _digest), PROGRAM)


def _listed(tool: Tool) -> Tool:
    return {"name": verb.full_name(tool), "digest": _digest(tool)}


def _digest(tool: Tool) -> str:
    return reading.text(tool, "digest")
