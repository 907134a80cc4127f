"""The controller's own chain: sealed, sent until it is taken, bounded while Redis is away."""

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import orjson
import pytest
from typing_extensions import override

from mesh7_core.ledger.audit_entries import Kind, Segment
from mesh7_operator.controller.auditing.recording import MOST_WAITING_BYTES, Recorder
from tests.conftest import Eventually
from tests.operator.anchoring.streams import entries, followed
from tests.operator.store.parts import CLOCK


class _Stream:
    def __init__(self) -> None:
        self.taken: list[Segment] = []
        self.is_away = False
        self.forgets_to_answer = False

    def is_begun(self, _: str) -> bool:
        return True

    async def begin(self, namespace: str) -> bool:
        return self.is_begun(namespace)

    async def append(self, _: str, segment: Segment) -> bool:
        if self.is_away:
            return False
        self.taken.append(segment)
        return not self.forgets_to_answer


class _Slow(_Stream):
    """A Redis that answers when it is told to; `ended` once a chain is said to be over."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.goes_on, self.ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    @override
    async def append(self, namespace: str, segment: Segment) -> bool:
        self.asked.set()
        await self.goes_on.wait()
        if segment.kind is Kind.END:
            self.ended.set()
        return await super().append(namespace, segment)


class _Unanchored(_Stream):
    """`shop` and `mill` have no anchor until both were asked for, and the API server answers."""

    def __init__(self) -> None:
        super().__init__()
        self.begun: set[str] = set()
        self.both, self.answers = asyncio.Barrier(2), asyncio.Event()
        self.names: list[str] = []

    @override
    def is_begun(self, namespace: str) -> bool:
        return namespace == "farm" or namespace in self.begun

    @override
    async def begin(self, namespace: str) -> bool:
        await self.both.wait()
        await self.answers.wait()
        self.begun.add(namespace)
        return True

    @override
    async def append(self, namespace: str, segment: Segment) -> bool:
        assert self.is_begun(namespace)
        self.names.append(namespace)
        return await super().append(namespace, segment)


@asynccontextmanager
async def _running(recorder: Recorder) -> AsyncIterator[None]:
    task = asyncio.create_task(recorder.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _recorder(stream: _Stream) -> Recorder:
    numbers = itertools.count()
    return Recorder(stream, lambda many: next(numbers).to_bytes(many, "little"), CLOCK)


@pytest.mark.promise("T5")
async def test_what_it_writes_is_a_sound_chain_that_ends(eventually: Eventually) -> None:
    stream = _Stream()
    recorder = _recorder(stream)
    async with _running(recorder):
        recorder.note("shop", b'{"deed":"approve"}')
        await eventually(lambda: bool(stream.taken))
        recorder.note_fact("shop", "trimmed", {"entries": 3})
        await eventually(lambda: len(stream.taken) == 2)
    await recorder.close()
    found = followed(entries(*stream.taken, is_operators=True))
    assert found.findings == ()
    (own,) = found.anchor.chains.values()
    assert (own.head.total, own.is_ended, own.is_operators) == (2, True, True)


async def test_a_lost_answer_is_no_finding() -> None:
    """Redis took it and nobody heard: it comes once more, the very same."""
    stream = _Stream()
    recorder = _recorder(stream)
    stream.forgets_to_answer = True
    recorder.note("shop", b'{"deed":"approve"}')
    assert not await recorder.flush()
    stream.forgets_to_answer = False
    recorder.note("shop", b'{"deed":"deny"}')
    assert await recorder.flush()
    assert [one.first for one in stream.taken] == [1, 1, 2]
    assert followed(entries(*stream.taken, is_operators=True)).findings == ()


async def test_what_finds_no_room_stands_in_the_log_and_is_counted_in_the_chain(
    caplog: pytest.LogCaptureFixture,
) -> None:
    stream = _Stream()
    stream.is_away = True
    recorder = _recorder(stream)
    line = b'{"text":"%b"}' % (b"x" * 10_000)
    many = MOST_WAITING_BYTES // len(line) + 5
    with caplog.at_level(logging.INFO):
        for _ in range(many):
            recorder.note("shop", line)
    assert not await recorder.flush()
    assert len([one for one in caplog.records if one.message == "recorded"]) == many
    stream.is_away = False
    assert await recorder.flush()
    bodies = b"".join(one.body for one in stream.taken if one.kind is Kind.BLOCKS)
    read = [orjson.loads(one) for one in bodies.splitlines()]
    assert sum("text" in one for one in read) == many - 5
    assert [one["dropped"] for one in read if "dropped" in one] == [5]


async def test_a_namespace_that_goes_meanwhile_loses_no_line_and_its_chain_ends() -> None:
    """A deleted namespace ended the leader's term, when Redis was slow."""
    stream = _Slow()
    recorder = _recorder(stream)
    recorder.note("shop", b'{"deed":"approve"}')
    async with _running(recorder):
        await stream.asked.wait()
        recorder.note("shop", b'{"deed":"deny"}')
        recorder.forget("shop")
        stream.goes_on.set()
        await stream.ended.wait()
        # Noted again, it begins anew.
        recorder.note("shop", b'{"deed":"grant"}')
        assert await recorder.flush()
    assert [one.kind for one in stream.taken] == [Kind.BLOCKS, Kind.BLOCKS, Kind.END, Kind.BLOCKS]
    assert stream.taken[3].chain != stream.taken[0].chain
    assert followed(entries(*stream.taken, is_operators=True)).findings == ()


async def test_a_namespace_that_goes_at_the_end_keeps_no_other_from_its_end() -> None:
    """Changed while it was walked through."""
    stream = _Slow()
    recorder = _recorder(stream)
    for namespace in ("shop", "farm"):
        recorder.note(namespace, b'{"deed":"approve"}')
    closing = asyncio.create_task(recorder.close())
    await stream.asked.wait()
    recorder.note("mill", b'{"deed":"approve"}')
    recorder.forget("shop")
    stream.goes_on.set()
    await closing
    assert [one.kind for one in stream.taken].count(Kind.END) >= 2


async def test_who_waits_for_an_anchor_delays_nobody_who_has_one(eventually: Eventually) -> None:
    """Deeds waited in one line behind each anchor that an absent API server did not take."""
    stream = _Unanchored()
    recorder = _recorder(stream)
    async with _running(recorder):
        for namespace in ("shop", "mill", "farm"):
            recorder.note(namespace, b'{"deed":"approve"}')
        await eventually(lambda: stream.names == ["farm"])
        recorder.note("farm", b'{"deed":"deny"}')
        await eventually(lambda: stream.names == ["farm", "farm"])
        assert set(recorder.waiting) == {"shop", "mill"}
        stream.answers.set()
        await eventually(lambda: not recorder.waiting)
    assert sorted(stream.names) == ["farm", "farm", "mill", "shop"]


async def test_at_the_end_what_waits_for_an_anchor_comes_last() -> None:
    stream = _Unanchored()
    recorder = _recorder(stream)
    for namespace in ("shop", "mill", "farm"):
        recorder.note(namespace, b'{"deed":"approve"}')
    stream.answers.set()
    assert await recorder.flush()
    assert stream.names[0] == "farm"
    assert sorted(stream.names) == ["farm", "mill", "shop"]
