"""A namespace's own user, and what it can do to the server that all share: not much, not long."""

from collections.abc import Sequence
from pathlib import Path

import hiredis
import pytest

from mesh7_core.delivery import envelopes
from mesh7_operator.reconciling.plan import Publish
from mesh7_operator.reconciling.world import StoreState
from tests.core.ledger.redis_parts import EVERY_SERVER
from tests.operator.store.parts import LIBRARY, NOW, link_of, storing
from tests.peers import redis_servers

Words = Sequence[str | int]
MANY = 10**15
EVIL = "m7:{evil}:"
POINTER = ("SET", f"{EVIL}d:x", "id P 9999999999999")
LATE_MS = 9_999_999_999_999
_SOON_S = 2.0
"""A loop without end works for ever; a slow machine may work this long."""


def calls(function: str, keys: Sequence[str], *words: str | int) -> Words:
    return ("FCALL", f"{LIBRARY}_{function}", len(keys), *(EVIL + key for key in keys), *words)


def observes(keys: Sequence[str], *words: str | int) -> Words:
    return calls("observe", ("epoch", *keys), "", 0, *words)


def cells(*texts: str) -> list[Words]:
    return [("RPUSH", f"{EVIL}w:x", *texts)]


def _attacks() -> dict[str, tuple[list[Words], Words]]:
    window = ("w:x", "l:x")
    leases = [n for digest in range(20_001) for n in (LATE_MS, f"d{digest}")]
    return {
        "loops": ([POINTER], observes(("d:x",), "x", 0, 0, MANY, 0, "")),
        "windows": ([POINTER], observes(("d:x",), "x", 0, MANY, 0, 0, "")),
        "rules": ([], observes((), "", 0, 0, 0, MANY, "", 0)),
        "not a number": ([], observes((), "", 0, 0, "nan", 0, "")),
        "endless": ([POINTER], observes(("d:x",), "x", 0, 0, "inf", 0, "")),
        "below zero": ([], observes((), "", 0, 5, -5, 0, "")),
        "grants": ([], observes(("g:x",), "", 0, 0, 0, 1, "", MANY, 1, 0, 0)),
        "windows given": (
            [], observes(["w:x"] * 502, "", 0, 251, 0, 0, "", *[9, 60_000, 0] * 251),
        ),
        "windows given back": ([], calls("give_back", ["w:x"] * 502, "x", *[9, 9, 0] * 251)),
        "aged cells": (
            cells(*["1 1 0"] * 10_000, f"{LATE_MS} 1 0"),
            observes(window, "", 0, 1, 0, 0, "0", 9, 60_000, 0),
        ),
        "cells of the future": (
            cells(*[f"{LATE_MS} 1 0"] * 10_000),
            calls("give_back", window, "x", 9, 60_000, 0),
        ),
        "a long cell": (cells("1" * 100), observes(window, "", 0, 1, 0, 0, "0", 9, 60_000, 0)),
        "leases": (
            [("ZADD", f"{EVIL}l:x", *leases)],
            observes(("w:y", "l:x"), "", 0, 1, 0, 0, "0", 9, 60_000, 0),
        ),
        "uses": ([("SET", f"{EVIL}g:x", "1" * 100)], calls("used", ["g:x"] * 1000)),
        "grants asked about": ([], calls("used", ["g:x"] * 10_001)),
        "requests read": ([], calls("read", ["q:x"] * 1001, MANY)),
        "requests forgotten": (
            [], calls("forget", ["sizes", "bytes", "requests"] + ["q"] * 1001, *range(1001)),
        ),
        "arguments let go": ([], calls("shorten", ["sizes", "bytes"] + ["q"] * 1001, *range(1001))),
    }  # fmt: skip


def _worked_s(server: redis_servers.Server) -> float:
    """Seconds of a processor that the server has used: what others do beside it does not count."""
    told = server.tell("INFO", "cpu")
    assert isinstance(told, bytes)
    lines = dict(line.split(":") for line in told.decode().splitlines() if ":" in line)
    return float(lines["used_cpu_user"]) + float(lines["used_cpu_sys"])


@EVERY_SERVER
@pytest.mark.promise("K14")
async def test_no_tenants_call_keeps_the_server_from_the_others(
    program: Path, tmp_path: Path
) -> None:
    """Review of issue 5: one FCALL whose numbers made a loop without end stopped every namespace.

    When it had written before, `FUNCTION KILL` did not end it either.
    """
    with redis_servers.running(program, tmp_path) as server:
        async with storing(server) as store:
            await store.tend(["evil", "shop"], NOW)
            for version, (name, (before, attack)) in enumerate(_attacks().items(), 1):
                with link_of(server, "evil") as link:
                    for one in before:
                        assert not isinstance(link.ask(*one), hiredis.ReplyError), name
                    before_s = _worked_s(server)
                    answer = link.ask(*attack)
                    assert _worked_s(server) - before_s < _SOON_S, name
                assert str(answer).startswith(("M7REFUSED", "M7UNREADABLE")), (name, answer)
                veto = Publish(kind=envelopes.Kind.OVERLAY, version=version, content=b"veto")
                assert await store.publish("shop", veto), name
                server.tell("DEL", *(EVIL + key for key in ("d:x", "w:x", "l:x", "g:x", "epoch")))


@EVERY_SERVER
@pytest.mark.promise("K14")
async def test_what_cannot_be_read_of_one_namespace_is_no_loss_of_the_store(
    program: Path, tmp_path: Path
) -> None:
    """Else one tenant's forged count would be every namespace's StoreConnected=False."""
    with redis_servers.running(program, tmp_path) as server:
        async with storing(server) as store:
            await store.tend(["evil", "shop"], NOW)
            with link_of(server, "evil") as link:
                link.ask("SET", f"{EVIL}g:evil/g@1@2", "1" * 100)
            found = await store.published({"evil": ["evil/g@1@2"], "shop": []})
            assert found is not None
            assert found["evil"].uses == {}
            assert store.state is StoreState.CONNECTED
