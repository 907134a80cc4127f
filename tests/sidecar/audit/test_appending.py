"""A pod's blocks on their way to Redis: in order, whole, bounded, honest about what is missing."""

import asyncio
import itertools
import logging

import pytest

from mesh7_core.audit import chain
from mesh7_core.delivery.keys import SigningKey
from mesh7_core.ledger import audit_entries, audit_writers
from mesh7_core.ledger.audit_entries import Kind, Segment
from mesh7_sidecar.audit import appending, segments
from mesh7_sidecar.audit.appending import MOST_BYTES, Appending
from tests.conftest import Eventually

KEY = SigningKey(b"k" * 32)
NAME = audit_writers.name_of(KEY.public)
TIME = "2026-11-21T10:00:00.000000Z"


class _Inbox:
    """Takes what it is given, unless it is away."""

    def __init__(self) -> None:
        self.taken: list[Segment] = []
        self.tried: list[Segment] = []
        self.is_away = False
        self.forgets_to_answer = False
        self.waiting = 1
        self.trouble = ""

    async def append(self, segment: Segment) -> int:
        self.tried.append(segment)
        self.trouble = "it does not answer" if self.is_away or self.forgets_to_answer else ""
        if self.is_away:
            return -1
        self.taken.append(segment)
        return -1 if self.forgets_to_answer else self.waiting


class _Blocks:
    """A chain that is stored as it goes."""

    def __init__(self) -> None:
        self._chain = chain.new(NAME)
        self.content = b""

    def more(self, count: int, size: int = 10) -> segments.Segment:
        return self._one(count, size)

    def _one(self, count: int, size: int) -> segments.Segment:
        records = [b'{"time":"","text":"%b"}' % (b"x" * size) for _ in range(count)]
        before = self._chain.head.total
        sealed = self._chain.seal(records, TIME)
        self._chain.keep(sealed)
        self.content += sealed.content
        (segment,) = segments.of(sealed, before, len(sealed.content))
        return segment


def _sending(pause_s: float) -> Appending:
    return Appending(KEY, "shop", "uid", "web-1", pause_s=pause_s)


def _bodies(inbox: _Inbox) -> bytes:
    return b"".join(one.body for one in inbox.taken)


def _numbers(inbox: _Inbox) -> list[tuple[Kind, int, int, int]]:
    return [(one.kind, one.first, one.last, one.records) for one in inbox.taken]


async def test_blocks_that_come_together_go_together_and_the_end_is_said(
    eventually: Eventually,
) -> None:
    """Issue 8's brief: at most every 500 ms; a pod's chain ends with a closing head."""
    inbox, blocks, sending = _Inbox(), _Blocks(), _sending(0.01)
    for count in (1, 2, 3):
        sending.add(blocks.more(count))
    sending.use(inbox)
    await eventually(lambda: bool(inbox.taken))
    await sending.close()
    assert _numbers(inbox) == [(Kind.BLOCKS, 1, 3, 6), (Kind.END, 3, 3, 0)]
    assert _bodies(inbox) == blocks.content
    assert {(one.uid, one.pod, one.chain) for one in inbox.taken} == {("uid", "web-1", NAME)}
    assert all(audit_writers.is_signed(one, "shop") for one in inbox.taken)


async def test_much_does_not_wait_for_more(eventually: Eventually) -> None:
    """64 KiB go at once, whatever the pause."""
    inbox, blocks, sending = _Inbox(), _Blocks(), _sending(3600.0)
    sending.use(inbox)
    for _ in range(8):
        sending.add(blocks.more(4, size=4096))
    await eventually(lambda: len(_bodies(inbox)) >= appending.AT_ONCE_BYTES)
    await sending.close()
    assert _bodies(inbox) == blocks.content


async def test_a_lost_answer_sends_the_very_same_again(eventually: Eventually) -> None:
    """Whoever reads it knows the repeat by its hash: nothing may have grown meanwhile."""
    inbox, blocks, sending = _Inbox(), _Blocks(), _sending(0.01)
    inbox.forgets_to_answer = True
    sending.add(blocks.more(1))
    sending.use(inbox)
    await eventually(lambda: len(inbox.tried) > 1)
    sending.add(blocks.more(2))
    inbox.forgets_to_answer = False
    await eventually(lambda: inbox.taken[-1].last == 2)
    await sending.close()
    assert len({audit_entries.written(one) for one in inbox.tried if one.first == 1}) == 1
    assert inbox.taken[-2].first == 2


@pytest.mark.promise("T5")
async def test_what_finds_no_room_is_named_instead_of_sent(
    eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    """Issue 8's brief: bounded at 4 MiB; an honest loss differs from an attacker's cut."""
    inbox, blocks, sending = _Inbox(), _Blocks(), _sending(0.01)
    inbox.is_away = True
    sending.use(inbox)
    many = 0
    with caplog.at_level(logging.WARNING):
        while sending.withheld < 100:
            sending.add(blocks.more(50, size=4096))
            many += 1
    inbox.is_away = False
    sending.add(blocks.more(1))
    await eventually(lambda: bool(inbox.taken) and inbox.taken[-1].last == many + 1)
    await sending.close()
    kinds = [one.kind for one in inbox.taken]
    assert kinds.count(Kind.WITHHELD) == 1
    (word,) = [one for one in inbox.taken if one.kind is Kind.WITHHELD]
    assert (word.records, word.body) == (sending.withheld, b"")
    numbers = [(one.first, one.last) for one in inbox.taken[:-1]]
    assert all(one[1] + 1 == other[0] for one, other in itertools.pairwise(numbers))
    assert len(_bodies(inbox)) <= MOST_BYTES + appending.AT_ONCE_BYTES
    assert sum("no room" in one.message for one in caplog.records) == 1


async def test_a_block_that_is_too_long_for_anybody_is_named(eventually: Eventually) -> None:
    inbox, blocks, sending = _Inbox(), _Blocks(), _sending(0.01)
    sending.add(blocks.more(1))
    sending.add(blocks.more(1, size=1_200_000))
    sending.use(inbox)
    await eventually(lambda: len(inbox.taken) == 2)
    await sending.close()
    assert _numbers(inbox)[:2] == [(Kind.BLOCKS, 1, 1, 1), (Kind.WITHHELD, 2, 2, 1)]


async def test_a_redis_that_is_away_keeps_nobody_from_ending(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Telemetry never blocks; the records are on stdout."""
    inbox, blocks, sending = _Inbox(), _Blocks(), _sending(0.01)
    inbox.is_away = True
    sending.use(inbox)
    sending.add(blocks.more(7))
    await sending.close()
    assert "7 audit records did not reach Redis; they are on stdout" in caplog.messages


async def test_a_namespace_that_nobody_reads_is_spared(eventually: Eventually) -> None:
    """The controller is away: a segment in a while, until it is there again."""
    inbox, blocks, sending = _Inbox(), _Blocks(), _sending(0.0)
    inbox.waiting = appending.MOST_WAITING + 1
    sending.use(inbox)
    sending.add(blocks.more(1))
    await eventually(lambda: bool(inbox.taken))
    for _ in range(50):
        sending.add(blocks.more(1))
        await asyncio.sleep(0)
    assert len(inbox.taken) == 1
    await sending.close()
    assert _bodies(inbox) == blocks.content


async def test_names_that_no_segment_can_bear_are_left_out() -> None:
    """Its blocks are worth more than what its environment says of the pod."""
    inbox, blocks = _Inbox(), _Blocks()
    sending = Appending(KEY, "shop", 'a"', "Web 1", pause_s=0.0)
    sending.add(blocks.more(1))
    sending.use(inbox)
    await sending.close()
    assert {(one.uid, one.pod) for one in inbox.taken} == {("-", "-")}


async def test_a_pod_without_redis_has_nothing_to_end() -> None:
    sending = _sending(0.01)
    sending.add(_Blocks().more(1))
    await sending.close()
