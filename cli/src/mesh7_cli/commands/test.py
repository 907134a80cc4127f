"""`mesh7 test`: run cases against policies, offline."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mesh7_cli import exits, options, output
from mesh7_core import errors

if TYPE_CHECKING:
    from mesh7_cli import sets
    from mesh7_core.compiling import cases


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
    from mesh7_cli import sets  # noqa: PLC0415

    results = _run(sets.joined(paths), namespace)
    failed = sum(not result.is_passed for result in results)
    if form is output.Form.TABLE:
        for result in results:
            click.echo(_line(result))
        click.echo(f"{len(results)} cases, {failed} failed")
    else:
        found = [_as_object(result) for result in results]
        output.write({"cases": found, "failed": failed}, form)
    return exits.Exit.WRONG if failed else exits.Exit.OK


def _run(one: "sets.Set", namespace: str | None) -> "tuple[cases.CaseResult, ...]":
    """Judge every case of the set by the policies of the set.

    Raises:
        ManifestError: policies or cases are wrong, or there is no case.
    """
    from mesh7_core.compiling import cases  # noqa: PLC0415

    bundle = one.bundle(namespace)
    read = cases.read_cases({one.shown[key]: content for key, content in one.files.items()})
    if any(diagnostic.severity == "error" for diagnostic in read.diagnostics):
        raise errors.ManifestError("\n".join(str(diagnostic) for diagnostic in read.diagnostics))
    return cases.run_cases(bundle, read.cases)


def _line(result: "cases.CaseResult") -> str:
    problem = result.diagnostic()
    if problem is None:
        return f"ok    {output.visible(result.case.written.name)}"
    return f"FAIL  {output.visible(str(problem))}"


def _as_object(result: "cases.CaseResult") -> dict[str, object]:
    return {
        "name": result.case.written.name,
        "file": result.case.file,
        "line": result.case.line,
        "passed": result.is_passed,
        "decision": str(result.decision.verdict),
        "reason": str(result.decision.reason),
        "rules": list(result.decision.rules),
        "problem": result.problem,
    }
