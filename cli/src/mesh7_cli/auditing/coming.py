"""The newest records, then those that come: each once, oldest first."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from mesh7_cli.auditing import cursors
from mesh7_cli.auditing.tail import Numbers, Tail
from mesh7_cli.records import Records, Wish
from mesh7_core.audit import recorded
from mesh7_core.audit import wanted as wanting
from mesh7_core.audit.recorded import Kind


def coming(
    asked: Records,
    tail: Tail,
    wish: Wish,
    tell: Callable[[str], None],
    pause: Callable[[], object],
) -> Iterator[str]:
    """Stored lines without end.

    Args:
        asked: has what was there before `tail` began.
        tell: what is to know beside the records.
        pause: is called whenever there is nothing new.
    """
    if tail.position is not None:
        page = asked.query(replace(wish, cursor=cursors.write(tail.position)))
        for note in page.notes:
            tell(note)
        yield from reversed(page.lines)
    numbers = Numbers()
    while True:
        for line in tail.fresh():
            record = recorded.read(line)
            if record is None:
                tell("a line is no record – `mesh7 audit verify` says more" if line else "")
                continue
            if record.traits.kind is not Kind.SEAL:
                tell(numbers.gap(record.id))
            if wanting.means(wish.wanted, record):
                yield line.decode()
        tell(tail.lost())
        pause()
