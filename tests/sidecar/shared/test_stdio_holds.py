"""`mesh7 stdio` as a program: a call that waits for people stops nothing else on the same pipes."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.peers import processes, stopwatches
from tests.sidecar.doors import parts as doors
from tests.sidecar.doors.shop import POLICY, People
from tests.sidecar.lifecycle import parts as lifecycle
from tests.sidecar.shared import parts

MOST = 20
CLIENT = "import subprocess, sys; sys.exit(subprocess.call(sys.argv[1:]))"
AT_ONCE_S = 9.0
"""Less than the ten seconds that calls in flight get."""
Json = dict[str, object]


class Client:
    """An MCP client at the program's pipes; answers are kept by their id.

    Attributes:
        answers: in the order they came.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.answers: dict[object, Json] = {}
        self._process = process

    def ask(self, identifier: int, method: str, params: Json) -> None:
        """Send a request of 2026-07-28."""
        body, _ = doors.modern_request(method, params, identifier)
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(body).encode() + b"\n")

    async def answer(self, identifier: int) -> Json:
        """The answer to a request, as soon as it is there."""
        assert self._process.stdout is not None
        async with asyncio.timeout(parts.PATIENCE_S):
            while identifier not in self.answers:
                found = json.loads(await self._process.stdout.readline())
                self.answers[found.get("id")] = found
        return self.answers[identifier]

    async def ended(self) -> int:
        """The exit code, once nothing more came from it."""
        assert self._process.stdout is not None
        async with asyncio.timeout(parts.PATIENCE_S + 5):
            assert await self._process.stdout.read() == b""
            return await self._process.wait()


@contextlib.asynccontextmanager
async def serving(place: Path, *manifests: str) -> AsyncIterator[tuple[Client, People]]:
    """The program on a folder, which it holds itself; and people at its socket."""
    doors.write(place / "folder", *manifests)
    # A program between us and it is the MCP client whose children may not decide; we are none.
    argv = [
        sys.executable, "-c", CLIENT, sys.executable, "-m", "mesh7_cli", "stdio",
        str(place / "folder"), "--source", "shop", "--state", str(place / "state"),
        "--allow-scripted-approval",
    ]  # fmt: skip
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *argv, stdin=pipe, stdout=pipe, cwd=processes.ROOT, start_new_session=True
    )
    try:
        await lifecycle.until(place / "state", lifecycle.is_ready("shop"))
        people = People(place / "state" / "gateway.sock")
        try:
            yield Client(process), people
        finally:
            await people.close()
    finally:
        await processes.end(process)


def amount_of(request: Json) -> int:
    """What is to be paid."""
    arguments = request["arguments"]
    assert isinstance(arguments, dict)
    return int(arguments["amount"])


def text(answer: Json) -> object:
    """The text of a tool result."""
    result = answer["result"]
    assert isinstance(result, dict)
    return result["content"][0]["text"]


@pytest.mark.promise("M9", "D34", "L7")
async def test_held_calls_block_neither_each_other_nor_lists_and_calls_on_the_same_pipes(
    tmp_path: Path,
) -> None:
    """Issue 4: as many as may wait; decided in any order, each gets its own answer."""
    async with (
        parts.opened_till() as till,
        serving(tmp_path, doors.source("shop", till.source.url), POLICY) as (client, people),
    ):
        for amount in range(MOST):
            client.ask(amount, "tools/call", {"name": "pay", "arguments": {"amount": amount}})
        asked = await people.asked(MOST)
        client.ask(100, "tools/list", {})
        client.ask(101, "tools/call", {"name": "look", "arguments": {}})
        assert "pay" in json.dumps(await client.answer(100))
        assert text(await client.answer(101)) == "look"
        assert set(client.answers) == {100, 101}, "nobody else has been answered"
        assert till.receipts == 0
        for request in reversed(asked[1:]):
            await people.approve(request["id"])
        await people.deny(asked[0]["id"], "not this one")
        denied = amount_of(asked[0])
        assert "not this one" in str(text(await client.answer(denied)))
        others = [amount for amount in range(MOST) if amount != denied]
        receipts = {text(await client.answer(amount)) for amount in others}
        assert receipts == {f"receipt {number}" for number in range(1, MOST)}
        assert till.calls("pay") == MOST - 1


@pytest.mark.promise("A4", "A7", "D39")
async def test_a_held_call_gets_the_pending_answer_at_once_when_the_program_is_told_to_stop(
    tmp_path: Path,
) -> None:
    """Design 6.2: SIGTERM answers held calls pending at once, whatever the way in."""
    async with (
        parts.opened_till() as till,
        serving(tmp_path, doors.source("shop", till.source.url), POLICY) as (client, people),
    ):
        client.ask(1, "tools/call", {"name": "pay", "arguments": {"amount": 1}})
        (asked,) = await people.asked()
        found = await lifecycle.status(tmp_path / "state")
        with stopwatches.running() as passed_s:
            os.kill(found["pid"], signal.SIGTERM)
            assert str(asked["id"]) in str(text(await client.answer(1)))
            assert await client.ended() == 0
            assert passed_s() < AT_ONCE_S
        assert till.receipts == 0
