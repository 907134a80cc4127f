"""`kubectl mesh7 test`: run cases against policies, offline."""

from pathlib import Path

import click

from mesh7_cli import output, plugin_options
from mesh7_cli.cluster import flags
from mesh7_cli.cluster.kubectl import Kubectl


@click.command("test")
@click.option(
    "-f",
    "--filename",
    "paths",
    metavar="FILE|DIR",
    multiple=True,
    required=True,
    type=click.Path(path_type=Path),
    help="Policies or cases: a file, or a folder of them; may be given again.",
)
@plugin_options.form("table", "json", "yaml")
@flags.connected
def command(*, kubectl: Kubectl, paths: tuple[Path, ...], form: str) -> int:
    """Run cases against policies, without a cluster.

    All files together are one set; the cases are those of its documents of kind PolicyCases. With
    -n, manifests that name no namespace are of that one. Exits 1 when a case gets another decision
    than it expects, and when there is no case.
    """
    # The compiler is only for who compiles.
    from mesh7_cli.verbs import test  # noqa: PLC0415

    return test.run(paths, kubectl.named, output.Form(form))
