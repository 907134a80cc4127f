"""Cases against policies, offline: what `mesh7 test` and `kubectl mesh7 test` share."""

from collections.abc import Sequence
from pathlib import Path

import click

from mesh7_cli import exits, output, sets
from mesh7_core import errors
from mesh7_core.compiling import cases


def run(paths: Sequence[Path], namespace: str | None, form: output.Form) -> exits.Exit:
    """Judge every case of these files by the policies of these files, and print how it went.

    Args:
        paths: files and folders; together they are one set.
        namespace: of manifests that name none; None = the one that the set names.
        form: of the output.

    Raises:
        ManifestError: policies or cases are wrong, or there is no case.
    """
    results = _judged(sets.joined(paths), namespace)
    failed = sum(not result.is_passed for result in results)
    if form is output.Form.TABLE:
        for result in results:
            click.echo(_line(result))
        click.echo(f"{len(results)} cases, {failed} failed")
    else:
        output.write({"cases": [_as_object(one) for one in results], "failed": failed}, form)
    return exits.Exit.WRONG if failed else exits.Exit.OK


def _judged(one: sets.Set, namespace: str | None) -> tuple[cases.CaseResult, ...]:
    bundle = one.bundle(namespace)
    read = cases.read_cases({one.shown[key]: content for key, content in one.files.items()})
    if any(diagnostic.severity == "error" for diagnostic in read.diagnostics):
        raise errors.ManifestError("\n".join(str(diagnostic) for diagnostic in read.diagnostics))
    return cases.run_cases(bundle, read.cases)


def _line(result: cases.CaseResult) -> str:
    problem = result.diagnostic()
    if problem is None:
        return f"ok    {output.visible(result.case.written.name)}"
    return f"FAIL  {output.visible(str(problem))}"


def _as_object(result: cases.CaseResult) -> dict[str, object]:
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
