"""Audit files as a gateway leaves them: chained lines, rotated; and what a plain reading finds."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mesh7_cli.auditing.folder import Folder
from mesh7_cli.records import Page, Wish
from mesh7_core.audit import chain, recorded, wanted
from mesh7_core.audit.heads import Head
from mesh7_core.audit.wanted import Wanted

CHAIN = "abcdefghijkl"
BEGAN = datetime(2026, 11, 21, 10, tzinfo=UTC)
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
REQUEST = "r-0123456789abcdefghijklmnop"
Fields = dict[str, object]


def moment(seconds: float) -> str:
    """So many seconds after `BEGAN`, as records say it."""
    return (BEGAN + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def microseconds(seconds: float) -> int:
    """The same as `Wanted` says it."""
    found = recorded.moment(moment(seconds))
    assert found is not None
    return found


def call(at_s: float = 0.0, **changed: object) -> Fields:
    """The record of a call."""
    return {
        "time": moment(at_s),
        "decision": "Allow",
        "reason": "allowed-by-rule",
        "rules": ["default/quickstart/read"],
        "family": "tools",
        "agent": {"namespace": "default", "serviceAccount": "support", "pod": "laptop-1"},
        "outcome": "ok",
        "door": "mcp",
        "bundle": "sha256:" + "0" * 64,
        "tool": "git.git_log",
        "arguments": "b2:" + "1" * 32,
        "durationMs": 2.5,
    } | changed


def deed(at_s: float = 0.0, **changed: object) -> Fields:
    """The record of what a person did."""
    return {
        "time": moment(at_s),
        "deed": "approve",
        "by": {"person": "uid:1000", "name": "ann", "evidence": "pid 7 mesh7"},
        "requestId": REQUEST,
        "tool": "git.git_commit",
        "agent": "default/support",
        "reason": "fine",
    } | changed


class Writer:
    """A gateway's audit files, without the gateway."""

    def __init__(self, state: Path, name: str = CHAIN) -> None:
        state.mkdir(parents=True, exist_ok=True)
        self.path = state / "audit.jsonl"
        self._chain = chain.new(name)

    def write(self, *records: Mapping[str, object]) -> None:
        """Append a block."""
        sealed = self._chain.seal(
            [json.dumps(one, separators=(",", ":")).encode() for one in records], moment(0)
        )
        self._chain.keep(sealed)
        self.raw(sealed.content)

    @property
    def head(self) -> Head:
        """Where the chain stands."""
        return self._chain.head

    def raw(self, content: bytes) -> None:
        """Append bytes as they are."""
        with self.path.open("ab") as file:
            file.write(content)

    def rotate(self, kept: int = 4) -> None:
        """Every file becomes one older; the oldest goes."""
        for number in range(kept - 1, -1, -1):
            older = self.generation(number)
            if older.exists():
                older.replace(self.generation(number + 1))
        self.path.touch()

    def generation(self, number: int) -> Path:
        return self.path.with_name(f"audit.jsonl.{number}") if number else self.path


def scanned(state: Path, wish: Wanted) -> list[str]:
    """What is wanted, newest first, by reading everything."""
    files = sorted(
        state.glob("audit.jsonl*"), key=lambda path: -int(path.suffix[1:].strip("jsonl") or 0)
    )
    lines = [line for path in files for line in path.read_bytes().split(b"\n")[:-1]]
    return [
        line.decode()
        for line in reversed(lines)
        if (record := recorded.read(line)) is not None and wanted.means(wish, record)
    ]


def asked(state: Path, wish: Wanted, limit: int = 500, cursor: str = "") -> Page:
    """A page by the index, which is kept however small the files are."""
    return Folder(state, keep_from_bytes=0).query(Wish(wanted=wish, limit=limit, cursor=cursor))


def tools(lines: Iterable[str]) -> list[object]:
    """What was called."""
    return [json.loads(line)["tool"] for line in lines]


def numbered(first: int, last: int) -> Sequence[Fields]:
    """Calls of tools `s.<number>`."""
    return [call(number, tool=f"s.{number}") for number in range(first, last + 1)]
