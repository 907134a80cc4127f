"""`mesh7 test`: run cases against policies, offline."""

from pathlib import Path

import click

from mesh7_cli import options, output


@click.command("test")
@click.option(
    "-f",
    "paths",
    metavar="PATH",
    multiple=True,
    required=True,
    type=click.Path(path_type=Path),
    help="Policies or cases: a file, or a folder of them; may be given again.",
)
@click.option("--namespace", metavar="NS", help="Namespace of manifests that name none.")
@options.form
def command(paths: tuple[Path, ...], namespace: str | None, form: output.Form) -> int:
    """Run cases against policies, without a gateway.

    All files together are one set; the cases are those of its documents of kind PolicyCases.
    Exits 1 when a case gets another decision than it expects, and when there is no case.
    """
    # The compiler is only for who compiles.
    from mesh7_cli.verbs import test  # noqa: PLC0415

    return test.run(paths, namespace, form)
