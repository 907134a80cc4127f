"""Stored chains to verify, and what was done to them; used by the tests of chains."""

from dataclasses import dataclass, field

from mesh7_core.audit import chain, verifying
from mesh7_core.audit.findings import Finding, Kind
from mesh7_core.audit.heads import Head

TIME = "2026-11-21T00:00:00.123456Z"
NAME = "abcdefghijkl"
OTHER = "mnopqrstuvwx"


def lines(count: int, word: str = "call") -> list[bytes]:
    """Records as a renderer makes them."""
    return [b'{"time":"%b","tool":"s.%b","n":%d}' % (TIME.encode(), word.encode(), n)
            for n in range(count)]  # fmt: skip


@dataclass
class Stored:
    """A chain as it is stored."""

    writer: chain.Chain = field(default_factory=lambda: chain.new(NAME))
    content: bytes = b""

    def add(self, count: int = 3, word: str = "call") -> bytes:
        """Store some more records; what was stored."""
        sealed = self.writer.seal(lines(count, word), TIME)
        self.writer.keep(sealed)
        self.content += sealed.content
        return sealed.content

    @property
    def head(self) -> Head:
        return self.writer.head


def blocks(*counts: int, name: str = NAME) -> tuple[list[bytes], Head]:
    """Blocks of these many records, and where the chain stands then."""
    stored = Stored(chain.new(name))
    return [stored.add(count) for count in counts], stored.head


def found(content: bytes, *signed: Head, name: str = "audit.jsonl") -> tuple[Finding, ...]:
    """What is found in one segment."""
    return verifying.verify([(name, content)], signed).findings


def kinds(findings: tuple[Finding, ...]) -> list[Kind]:
    return [finding.kind for finding in findings]
