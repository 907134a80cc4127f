"""AuditQueries answered beside all other work, each once, and forgotten."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from mesh7_core import errors, names
from mesh7_operator import metrics
from mesh7_operator.anchoring import following
from mesh7_operator.anchoring.anchor import Anchor
from mesh7_operator.clock import Clock
from mesh7_operator.cluster import resources
from mesh7_operator.cluster.api_server import ApiServer
from mesh7_operator.controller.auditing import looking_up
from mesh7_operator.controller.auditing.looking_up import Reader
from mesh7_operator.controller.auditing.querying import Queries
from mesh7_operator.controller.informer import seen
from mesh7_operator.controller.informer.board import Board
from mesh7_operator.querying import turns
from tests.conftest import Eventually
from tests.crds import judging, schemas
from tests.fakes import api_server as fakes
from tests.operator.querying import trails
from tests.operator.querying.trails import BEGAN_MS, CHAIN, line

PLACES = ("shop", "lab")


class _Trail(trails.Trail):
    """A stream that may be held up, and one whose newest entries wait to be taken in.

    Attributes:
        goes: unset = reading of `held_up` waits.
        held_up: a namespace.
        fails: what reading raises.
    """

    def __init__(self) -> None:
        super().__init__()
        self.goes = asyncio.Event()
        self.reading = asyncio.Event()
        self.held_up = ""
        self.fails: Exception | None = None
        self.is_anchored = True
        self.inbox: list[bytes] = []

    async def gather(self, _: str) -> int | None:
        if self.inbox:
            self.write(*self.inbox)
            self.inbox.clear()
        return None if self.is_lost else 0

    async def read_back(self, namespace: str, *, before: str = "") -> Any:
        if self.fails is not None:
            raise self.fails
        if namespace == self.held_up:
            self.reading.set()
            await self.goes.wait()
        return await super().read_back(namespace, before=before)

    @contextlib.asynccontextmanager
    async def walk(self, namespace: str) -> AsyncIterator[Anchor | None]:
        anchor = following.follow(Anchor(namespace=namespace), self.entries).anchor
        yield anchor if self.is_anchored else None


class _Parts:
    """A controller's questions, and who asks."""

    def __init__(self, server: fakes.ApiServer, api: ApiServer) -> None:
        self.ahead_s = 0.0
        self.may_write = True
        self.noted: list[tuple[str, dict[str, Any]]] = []
        self.trail = _Trail()
        self._server = server
        self.api = api
        clock = Clock(wall_ns=lambda: BEGAN_MS * 10**6, monotonic_s=self._monotonic_s)
        self.board = Board(names.RELEASE_NAMESPACE, lambda _: None, inquired=self._inquired)
        self.reader = Reader(self.trail, self.trail, self._note, clock)
        self.queries = Queries(
            api=api, board=self.board, reader=self.reader, clock=clock,
            may_write=lambda: self.may_write,
        )  # fmt: skip

    def _monotonic_s(self) -> float:
        return asyncio.get_running_loop().time() + self.ahead_s

    def _inquired(self, namespace: str) -> None:
        self.queries.mark(namespace)

    def _note(self, namespace: str, written: bytes) -> None:
        self.noted.append((namespace, json.loads(written)))

    async def ask(self, name: str, namespace: str = "shop", **spec: Any) -> None:
        """As a person does, and the watch tells."""
        manifest = {
            "apiVersion": names.API_VERSION,
            "kind": names.AUDIT_QUERY,
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"requestedBy": "jane", **spec},
        }
        await self.api.create(resources.AUDIT_QUERIES, namespace, manifest)
        await self.tell()

    async def tell(self) -> None:
        """What the watch would."""
        for place in PLACES:
            found = [one async for one in self.api.list(resources.AUDIT_QUERIES, place)]
            queries = tuple(seen.query_of({"kind": names.AUDIT_QUERY, **one}) for one in found)
            there = seen.Namespace(revision=1, uid=place, labels={}, annotations={})
            self.board.tell(seen.Snapshot(name=place, namespaces=(there,), queries=queries))

    async def status(self, name: str, namespace: str = "shop") -> dict[str, Any]:
        found = await self.api.get(resources.AUDIT_QUERIES, namespace, name)
        status: Any = found.get("status", {})
        judged = {"metadata": {}, "spec": {"requestedBy": "jane"}, "status": status}
        assert judging.complaints(schemas.whole(names.AUDIT_QUERY), judged) == []
        return dict(status)

    async def answered(self, name: str, namespace: str = "shop") -> dict[str, Any]:
        """Its status once it is done or failed."""
        async with asyncio.timeout(30):
            while True:
                status = await self.status(name, namespace)
                if status.get("phase") in {"Done", "Failed"}:
                    return status
                await asyncio.sleep(0.01)

    async def names(self, namespace: str = "shop") -> list[str]:
        return sorted([
            str(one["metadata"]["name"])  # type: ignore[index]
            async for one in self.api.list(resources.AUDIT_QUERIES, namespace)
        ])  # fmt: skip


@pytest.fixture
async def parts() -> AsyncIterator[_Parts]:
    measured = metrics.ApiMetrics(metrics.registry())
    async with fakes.serving() as server, ApiServer(server.connection, measured) as api:
        found = _Parts(server, api)
        for place in PLACES:
            server.put(resources.NAMESPACES, {"metadata": {"name": place}})
        running = asyncio.create_task(found.queries.run())
        try:
            yield found
        finally:
            found.trail.goes.set()
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running
            found.reader.close()


@pytest.mark.promise("T5")
async def test_a_question_is_answered_with_what_came_a_moment_ago(parts: _Parts) -> None:
    parts.trail.write(line(BEGAN_MS))
    parts.trail.inbox.append(line(BEGAN_MS + 1, decision="Deny"))
    await parts.ask("q")
    found = await parts.answered("q")
    assert trails.ids(found["records"]) == [f"{CHAIN}-2", f"{CHAIN}-1"]


@pytest.mark.promise("T5")
async def test_who_asked_stands_in_the_audit_itself(parts: _Parts) -> None:
    """The audit of the audit."""
    await parts.ask("q", decision="Deny")
    await parts.answered("q")
    ((where, noted),) = parts.noted
    assert (where, noted["deed"], noted["by"]["person"]) == ("shop", "audit", "jane")
    assert (noted["by"]["evidence"], noted["reason"]) == ("auditquery q", "decision=Deny")


@pytest.mark.promise("T5")
async def test_verifying_is_answered_with_what_was_found(parts: _Parts) -> None:
    parts.trail.write(line(BEGAN_MS))
    parts.trail.add(None, BEGAN_MS + 1)
    await parts.ask("q", verify=True)
    verified = (await parts.answered("q"))["verified"]
    assert (verified["sound"], verified["records"]) == (False, 1)
    assert [one["kind"] for one in verified["findings"]] == ["forged"]


@pytest.mark.parametrize("spec", [{}, {"verify": True}])
async def test_without_redis_a_question_fails_and_says_what_to_do(
    parts: _Parts, spec: dict[str, Any]
) -> None:
    parts.trail.is_lost = True
    await parts.ask("q", **spec)
    found = await parts.answered("q")
    assert found["phase"] == "Failed"
    assert found["message"].startswith("Redis does not answer, and the audit lies there; ")


async def test_without_what_was_signed_nothing_is_called_sound(parts: _Parts) -> None:
    parts.trail.write(line(BEGAN_MS))
    parts.trail.is_anchored = False
    await parts.ask("q", verify=True)
    found = await parts.answered("q")
    assert (found["phase"], "verified" in found) == ("Failed", False)
    assert found["message"].startswith("what was signed of this audit cannot be read; ")


async def test_without_any_redis_it_says_where_records_are(parts: _Parts) -> None:
    await parts.ask("q")
    (asked,) = parts.board.known("shop").queries
    status = await looking_up.Nothing().answer(asked)
    assert str(status["message"]).startswith("mesh7 is installed without Redis")


async def test_what_cannot_be_meant_fails_in_words(parts: _Parts) -> None:
    await parts.ask("q", tool="billing.[a]")
    found = await parts.answered("q")
    assert (found["phase"], found["message"].partition(":")[0]) == ("Failed", "spec.tool")


async def test_one_that_takes_long_keeps_no_other_namespace_waiting(parts: _Parts) -> None:
    parts.trail.held_up = "shop"
    await parts.ask("slow")
    await parts.trail.reading.wait()
    await parts.ask("quick", "lab")
    assert (await parts.answered("quick", "lab"))["phase"] == "Done"
    assert (await parts.status("slow")).get("phase") is None
    parts.trail.goes.set()
    assert (await parts.answered("slow"))["phase"] == "Done"


async def test_a_flood_of_questions_is_refused_and_the_others_answered(parts: _Parts) -> None:
    """Attack: somebody with the right to ask asks without end."""
    parts.trail.held_up = "shop"
    await parts.ask("q-0000")
    await parts.trail.reading.wait()
    for number in range(1, turns.MOST_WAITING + 4):
        await parts.ask(f"q-{number:04d}")
    parts.trail.goes.set()
    failed = [number for number in range(turns.MOST_WAITING + 4)
              if (await parts.answered(f"q-{number:04d}"))["phase"] == "Failed"]  # fmt: skip
    # The first was answered while the others came.
    assert failed == [turns.MOST_WAITING + 2, turns.MOST_WAITING + 3]
    said = await parts.status(f"q-{failed[0]:04d}")
    assert said["message"] == turns.TOO_MANY


async def test_a_defect_costs_one_question_its_answer_and_no_other(
    parts: _Parts, caplog: pytest.LogCaptureFixture
) -> None:
    parts.trail.fails = ValueError("a defect")
    await parts.ask("q")
    assert (await parts.answered("q"))["message"] == turns.DEFECT
    assert "answering about the audit crashed" in caplog.messages
    parts.trail.fails = None
    await parts.ask("other")
    assert (await parts.answered("other"))["phase"] == "Done"


async def test_after_five_minutes_it_is_deleted(parts: _Parts, eventually: Eventually) -> None:
    await parts.ask("q")
    await parts.answered("q")
    await parts.tell()
    parts.ahead_s += turns.KEPT_S
    await parts.queries.look_around()
    await eventually(_gone(parts))
    assert await parts.names() == []


def _gone(parts: _Parts) -> Callable[[], bool]:
    return lambda: not parts.board.known("shop").queries


async def test_whoever_leads_no_longer_writes_nothing(
    parts: _Parts, caplog: pytest.LogCaptureFixture, eventually: Eventually
) -> None:
    parts.may_write = False
    await parts.ask("q")
    await eventually(lambda: "questions about the audit were not looked at" in caplog.messages)
    assert await parts.status("q") == {}
    parts.may_write = True
    assert (await parts.answered("q"))["phase"] == "Done"


async def test_one_that_is_deleted_while_it_is_answered_is_nobodys(
    parts: _Parts, caplog: pytest.LogCaptureFixture
) -> None:
    parts.trail.held_up = "shop"
    await parts.ask("q")
    await parts.trail.reading.wait()
    await parts.api.delete(resources.AUDIT_QUERIES, "shop", "q")
    await parts.tell()
    parts.trail.goes.set()
    await parts.ask("next")
    assert (await parts.answered("next"))["phase"] == "Done"
    assert "answering about the audit crashed" not in caplog.messages


async def test_an_answer_that_takes_too_long_ends_with_a_cursor(parts: _Parts) -> None:
    """A stream that is never done with; another asks on."""
    for number in range(20):
        parts.trail.write(line(BEGAN_MS + number))
    parts.trail.most = 1
    reader = Reader(_Slow(parts), parts.trail, lambda *_: None, _clock(parts))
    await parts.ask("q", decision="Hold")
    (asked,) = parts.board.known("shop").queries
    status = await reader.answer(asked)
    reader.close()
    assert status["records"] == []
    assert "cursor" in status


class _Slow:
    """The same stream, while time goes by."""

    def __init__(self, parts: _Parts) -> None:
        self._parts = parts

    async def read_back(self, namespace: str, *, before: str = "") -> Any:
        self._parts.ahead_s += looking_up.ANSWER_S / 2
        return await self._parts.trail.read_back(namespace, before=before)

    async def read(self, namespace: str, *, after: str = "") -> Any:
        return await self._parts.trail.read(namespace, after=after)


def _clock(parts: _Parts) -> Clock:
    return Clock(wall_ns=lambda: 1, monotonic_s=parts._monotonic_s)  # noqa: SLF001 - of this file


async def test_verifying_without_end_is_given_up(parts: _Parts) -> None:
    class Never:
        async def gather(self, _: str) -> int | None:
            return 0

        @contextlib.asynccontextmanager
        async def walk(self, _: str) -> AsyncIterator[Anchor | None]:
            async with asyncio.timeout(0):
                await asyncio.Event().wait()
            yield None

    reader = Reader(parts.trail, Never(), lambda *_: None, _clock(parts))
    await parts.ask("q", verify=True)
    (asked,) = parts.board.known("shop").queries
    with pytest.raises(errors.ClusterError, match="verifying took longer than 240 s"):
        await reader.answer(asked)
    reader.close()
