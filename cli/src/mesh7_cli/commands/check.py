"""`mesh7 check`: compile manifests and say what is wrong, like a compiler."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mesh7_cli import exits, options, output
from mesh7_core import errors

if TYPE_CHECKING:
    from mesh7_core.compiling import diagnostics


@click.command("check")
@click.argument(
    "paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@click.option("--namespace", metavar="NS", help="Namespace of manifests that name none.")
@options.form
def command(paths: tuple[Path, ...], namespace: str | None, form: output.Form) -> int:
    """Compile manifests and say what is wrong, as `file:line: message`.

    PATH is a file, a folder of manifests, or a folder of such folders, each a set of its own.
    Exits 0 when nothing is wrong (warnings may be), 1 when something is.
    """
    # The compiler is only for who compiles.
    from mesh7_cli import sets  # noqa: PLC0415
    from mesh7_core.compiling.diagnostics import Severity  # noqa: PLC0415

    found = []
    count = 0
    for path in paths:
        for one in sets.sets_in(path):
            count += one.has_manifests
            found.extend(one.located(one.compile(namespace).diagnostics))
    if not count:
        places = ", ".join(f"`{path}`" for path in paths)
        message = f"mesh7: no manifest in {places} – give a folder with .yaml files"
        raise errors.ManifestError(message)
    wrong = sum(diagnostic.severity is Severity.ERROR for diagnostic in found)
    if form is output.Form.TABLE:
        for diagnostic in found:
            click.echo(output.visible(str(diagnostic)))
        if not wrong:
            click.echo(f"{count} set{'' if count == 1 else 's'} checked, nothing wrong")
    else:
        output.write(
            {"sets": count, "errors": wrong, "diagnostics": [_as_object(one) for one in found]},
            form,
        )
    return exits.Exit.WRONG if wrong else exits.Exit.OK


def _as_object(found: "diagnostics.Diagnostic") -> dict[str, object]:
    return {
        "severity": str(found.severity),
        "file": found.file,
        "line": found.line,
        "path": found.path,
        "message": found.message,
    }
