"""Verdicts as people and programs read them."""

from collections.abc import Iterator, Sequence

import click

from mesh7_cli import output, reading
from mesh7_cli.querying.verifying import Verdict


def show(verdicts: Sequence[Verdict], form: output.Form) -> None:
    """Print them."""
    if form is not output.Form.TABLE:
        found = [_object(one) for one in verdicts]
        output.write({"namespaces": found}, form)
        return
    for one in verdicts:
        for line in _lines(one):
            click.echo(output.visible(line))


def _lines(verdict: Verdict) -> Iterator[str]:
    verified = verdict.verified
    findings = reading.objects(verified, "findings")
    yield f"{verdict.namespace}: {_result(verdict, len(findings))}"
    counts = {name: reading.number(verified, name) for name in ("records", "entries", "chains")}
    yield (
        f"  records   {counts['records']:,} in {counts['entries']:,} entries of "
        f"{counts['chains']:,} chains were held against their hashes"
    )
    yield f"  anchor    {_anchored(verified)}"
    yield f"  here      {verdict.said}"
    for one in findings:
        kind, where, says = (reading.text(one, name) for name in ("kind", "where", "says"))
        yield f"  {kind:<9} {where}: {says}"
    if more := reading.number(verified, "more"):
        yield f"  {more:,} findings more"


def _result(verdict: Verdict, findings: int) -> str:
    if verdict.is_sound:
        return "sound"
    if not findings:
        return "NOT sound"
    many = findings + reading.number(verdict.verified, "more")
    return f"NOT sound, {many:,} {'finding' if many == 1 else 'findings'}"


def _anchored(verified: object) -> str:
    found = verified if isinstance(verified, dict) else {}
    until, newer = (
        reading.text(found, "anchored", "until"),
        reading.number(found, "anchored", "newer"),
    )
    if not until:
        return "nothing is signed yet, so that nobody knows whether an end was cut"
    beyond = f"; {newer:,} entries are newer" if newer else ""
    return f"signed by the controller, vouches until {until}{beyond}"


def _object(verdict: Verdict) -> dict[str, object]:
    return {
        "namespace": verdict.namespace,
        "sound": verdict.is_sound,
        "controller": dict(verdict.verified),
        "here": {
            "checked": verdict.checked is not None,
            "sound": None if verdict.checked is None else verdict.checked.is_ours,
            "says": verdict.said,
        },
    }
