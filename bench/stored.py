"""Records that are stored: what it costs to hold them against their seals, and to find some."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from mesh7_cli.auditing import segments
from mesh7_cli.auditing.folder import Folder
from mesh7_cli.records import Wish
from mesh7_core.audit import chain, findings, verifying
from mesh7_core.audit.wanted import Wanted
from mesh7_core.policy.globs import TextGlob

_VERIFIED: Final = 64 * 250
_INDEXED: Final = 200_000
_TOOLS: Final = 200
_FOUND: Final = 100
_TIME: Final = "2026-11-21T10:00:00.000000Z"
_RECORD: Final = (
    '{{"time":"{time}","agent":{{"namespace":"default","serviceAccount":"default","pod":"bench"}},'
    '"door":"mcp","tool":"billing.tool_{tool}","arguments":"blake2b:{digest}",'
    '"decision":"{decision}","reason":"allowed-by-rule","rules":["default/bench/refunds"],'
    '"outcome":"ok","durationMs":1.234,"bundle":"sha256:{digest}","body":"sha256:{digest}"}}'
)

Share = tuple[str, Callable[[], object], int]
"""What is done, and to how many at a time."""


def pieces() -> Iterator[Share]:
    """Each measured while its files are there."""
    for name, most in (("full blocks", chain.MOST_RECORDS), ("blocks of one", 1)):
        yield f"verify a record, {name}", _verifying(_sealed(_VERIFIED, most)), _VERIFIED
    with tempfile.TemporaryDirectory(prefix="mesh7-bench-") as place:
        state = Path(place)
        (state / segments.NAME).write_bytes(_sealed(_INDEXED, chain.MOST_RECORDS))
        wish = Wish(
            wanted=Wanted(tool=TextGlob.parse("billing.tool_7"), decision="Deny"), limit=_FOUND
        )
        folder = Folder(state)
        if len(folder.query(wish).lines) != _FOUND:
            raise SystemExit("bench: the index does not find what is there")
        yield (
            f"ask for the newest {_FOUND} refusals of a tool, {_INDEXED:,} records",
            lambda: folder.query(wish),
            1,
        )


def _verifying(stored: bytes) -> Callable[[], object]:
    def verify() -> findings.Verified:
        found = verifying.verify([("audit.jsonl", stored)])
        if found.findings or found.records != _VERIFIED:
            raise SystemExit("bench: what was sealed is not believed")
        return found

    return verify


def _sealed(count: int, most: int) -> bytes:
    """So many records, in blocks of so many at most."""
    fresh, parts = chain.new("a" * 12), list[bytes]()
    lines = [_line(number) for number in range(count)]
    for begin in range(0, count, most):
        made = fresh.seal(lines[begin : begin + most], _TIME)
        fresh.keep(made)
        parts.append(made.content)
    return b"".join(parts)


def _line(number: int) -> bytes:
    # Each tool is refused every second time.
    decision = "Deny" if number // _TOOLS % 2 else "Allow"
    tool, digest = number % _TOOLS, f"{number:064x}"
    return _RECORD.format(time=_TIME, tool=tool, digest=digest, decision=decision).encode()
