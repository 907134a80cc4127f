"""What `mesh7 audit verify` says: what was checked, what was found, and what it may mean."""

from collections.abc import Iterator, Mapping
from typing import Final

import click

from mesh7_cli import neutral, output
from mesh7_cli.auditing.verified import Held, Verdict
from mesh7_core.audit.findings import Finding, Kind, Stretch
from mesh7_core.audit.heads import Head

_WIDTH: Final = 9
_SHOWN: Final = 50
"""Findings; who has more has one cause, or reads JSON."""
MEANINGS: Final[Mapping[Kind, str]] = {
    Kind.EDITED: "somebody, or a failing disk, changed what was stored; no crash does that",
    Kind.CUT: "the newest records were taken away, or an older copy of the files was put back",
    Kind.REORDERED: "files, blocks or records were moved or copied",
    Kind.GAP: "records were taken away, or a file of the row is not here",
    Kind.SWAPPED: "a file of another state folder stands there",
    Kind.FOREIGN: "another program wrote into the file, or somebody by hand",
    Kind.SECOND_WRITER: "two gateways wrote on from one copy of the state folder",
    Kind.UNSEALED: "mesh7 wrote it before it sealed records, so anybody may have changed it since;"
    " move it elsewhere",
    Kind.TORN: "the gateway was killed while it wrote, or is writing now; nothing was changed",
}
_UNSIGNED: Final = (
    "no head of it is signed, so nobody can say whether its end is here: audit.heads.jsonl or"
    " audit.key was removed, or the gateway began, or was killed, within its first seconds"
)


def show(verdict: Verdict, form: output.Form) -> None:
    """Print it."""
    if form is not output.Form.TABLE:
        output.write(as_object(verdict), form)
        return
    for name, text in _facts(verdict):
        click.echo(f"{name:<{_WIDTH}} {neutral.line(text)}")
    for one in verdict.found.findings[:_SHOWN]:
        click.echo(neutral.line(str(one)))
    if (more := len(verdict.found.findings) - _SHOWN) > 0:
        click.echo(f"and {more} more, see `-o json`")
    for kind in dict.fromkeys(one.kind for one in verdict.found.findings):
        click.echo(f"{kind}: {MEANINGS[kind]}")
    click.echo(_verdict(verdict))


def as_object(verdict: Verdict) -> dict[str, object]:
    """For programs."""
    found = verdict.found
    return {
        "isSound": verdict.is_sound,
        "files": verdict.files,
        "records": found.records,
        "blocks": found.blocks,
        "began": verdict.began,
        "key": verdict.key,
        "chains": [_chain(one) for one in found.chains],
        "unsigned": list(verdict.unsigned),
        "kept": [
            {**_head(one.head), "agrees": not one.trouble, "trouble": one.trouble}
            for one in verdict.kept
        ],
        "findings": [_finding(one) for one in found.findings],
    }


def _facts(verdict: Verdict) -> Iterator[tuple[str, str]]:
    found = verdict.found
    blocks = f"{_count(found.blocks, 'block')} of {_count(verdict.files, 'file')}"
    yield "checked", f"{_count(found.records, 'record')} in {blocks}"
    ends = sorted(one.end.time for one in found.chains)
    if ends:
        yield "time", f"{verdict.began or 'not known'} to {ends[-1]}"
    for one in found.chains:
        yield "chain", f"{one.end.chain}, blocks {one.first} to {one.end.block}"
        if one.end.chain in verdict.unsigned:
            yield "head", _UNSIGNED
        elif one.signed is not None:
            yield "head", _signed(one, one.signed, verdict.key)
    for held in verdict.kept:
        yield "kept", _kept(held)


def _signed(stretch: Stretch, head: Head, key: str) -> str:
    newer = stretch.end.block - head.block
    since = f"; {_count(newer, 'block')} came after it, not signed yet" if newer else ""
    return f"block {head.block} of {head.time}, signed by key {key or 'not known'}{since}"


def _kept(held: Held) -> str:
    where = f"block {held.head.block} of chain {held.head.chain}, {held.head.time}"
    return f"{where}: {held.trouble or 'the files agree with it'}"


def _verdict(verdict: Verdict) -> str:
    if verdict.is_sound and not verdict.found.blocks:
        return "nothing to verify: there are no records"
    if verdict.is_sound:
        found = {one.kind for one in verdict.found.findings}
        sealed = "nothing that was sealed" if Kind.UNSEALED in found else "nothing"
        torn = ", a crash left its trace" if Kind.TORN in found else ""
        return f"sound: {sealed} was changed{torn}"
    return "not sound: the records are not as they were written, or it cannot be said"


def _chain(one: Stretch) -> dict[str, object]:
    return {
        "chain": one.end.chain,
        "first": one.first,
        "last": one.end.block,
        "total": one.end.total,
        "hash": one.end.hash,
        "time": one.end.time,
        "signed": None if one.signed is None else _head(one.signed),
    }


def _head(head: Head) -> dict[str, object]:
    return {"chain": head.chain, "block": head.block, "time": head.time, "hash": head.hash}


def _finding(one: Finding) -> dict[str, object]:
    return {
        "kind": str(one.kind),
        "file": one.segment,
        "line": one.line,
        "offset": one.offset,
        "chain": one.chain,
        "block": one.block,
        "what": one.what,
        "mayMean": MEANINGS[one.kind],
    }


def _count(number: int, one: str) -> str:
    return f"{number:,} {one}{'' if number == 1 else 's'}"
