"""Who may write to the store is not believed: what is not ours is not there, and rights are few."""

import logging
import re
from dataclasses import replace
from pathlib import Path

import pytest

from mesh7_core.ledger import approvals, redis_layout
from mesh7_core.ledger.approvals import State
from mesh7_core.ledger.asked import Refused, Request
from mesh7_core.ledger.protocol import LOST, Caps, Changed, Seen, Standing, Unknown, Use
from tests.architecture.tree import ROOT
from tests.conftest import Eventually
from tests.core.ledger.contract import (
    MINUTE,
    asked,
    observed,
    opened,
    plain,
    request,
    rule,
    vote,
    window,
)
from tests.core.ledger.redis_parts import EVERY_SERVER, NAMESPACE, SECRET, connected, seen
from tests.peers import redis_servers

PREFIX = f"m7:{{{NAMESPACE}}}:"
PAGE = ROOT / "docs" / "administrator" / "redis.md"


def acl_rules() -> list[str]:
    """The user of a gateway without FUNCTION, word for word as the page has it."""
    found = re.search(r"(?m)^ACL SETUSER mesh7-shop (.+)$", PAGE.read_text(encoding="utf-8"))
    assert found is not None
    return found[1].replace(">PASSWORD", f">{SECRET}").split()


@EVERY_SERVER
async def test_a_user_of_one_namespace_can_do_all_of_it_and_nothing_else(
    program: Path, tmp_path: Path, eventually: Eventually
) -> None:
    """Design 5: `~m7:{ns}:* &m7:{ns}:*`, no FUNCTION; docs/administrator/redis.md."""
    told: list[Changed] = []
    with redis_servers.running(program, tmp_path) as server:
        server.tell("ACL", "SETUSER", "mesh7-shop", *acl_rules())
        async with (
            connected(server.port),
            connected(server.port, load=False, user="mesh7-shop", password=SECRET) as ledger,
            connected(
                server.port, load=False, user="mesh7-shop", password=SECRET, namespace="bank"
            ) as stranger,
        ):
            ledger.subscribe(told.append)
            held = asked(window("held"), uses=((Use("grant", 1, 0),),))
            assert (await observed(ledger, held)).seen is Seen.GRANTED
            assert (await observed(ledger, held)).seen is Seen.ADMITTED
            loop = plain(window("session", 3, 0), repeats=(window("loop"),))
            assert (await observed(ledger, loop)).seen is Seen.ADMITTED
            full = [await seen(ledger, plain(window("full", 1))) for _ in range(2)]
            assert full == [Seen.ADMITTED, Seen.SPENT]
            identity = await opened(ledger, request())
            assert isinstance(await ledger.vote(identity, vote()), Request)
            assert isinstance(await ledger.claim(identity, "sha256:a", [window("held")]), Request)
            assert await ledger.finish(identity, "ok") is None
            assert await ledger.give_back("sha256:a", [window("held")]) is None
            assert await ledger.stand("veto", "{}", "lea") is not LOST
            assert len(answered(await ledger.standing())) == 1
            assert await ledger.fall("veto") is not LOST
            assert await ledger.used(["grant"]) == (1,)
            assert len(answered(await ledger.requests())) == 1
            assert ledger.trouble() == ""
            await eventually(lambda: Changed(identity) in told)
            assert await seen(stranger) is Seen.LOST
            assert await stranger.requests() is LOST
            assert "may not do this" in stranger.trouble()


def answered(reply: object) -> tuple[object, ...]:
    assert isinstance(reply, tuple)
    return reply


@EVERY_SERVER
@pytest.mark.parametrize("kind", ["string", "list", "hash", "zset"])
async def test_a_key_of_another_kind_is_a_store_loss_and_changes_nothing(
    program: Path, tmp_path: Path, kind: str
) -> None:
    """Issue 4, bad input: forged entries. What cannot be read is never taken for empty."""
    writes = {
        "string": ["SET", "1"], "list": ["RPUSH", "x"], "hash": ["HSET", "a", "b"],
        "zset": ["ZADD", "1", "a"],
    }  # fmt: skip
    with redis_servers.running(program, tmp_path) as server:
        async with connected(server.port) as ledger:
            assert await seen(ledger) is Seen.ADMITTED
            identity = await opened(ledger, request())
            keys = [f"{PREFIX}{name}" for name in ("w:x", "l:x", "d:sha256:x", "g:x", "requests")]
            for key in keys:
                command, *words = writes[kind]
                server.tell("DEL", key)
                server.tell(command, key, *words)
            wide = asked(window("x"), digest="sha256:x", uses=((Use("x", 5, 0),),))
            found = await observed(ledger, wide)
            assert found.seen is Seen.LOST
            before = server.tell("DUMP", f"{PREFIX}q:{identity}")
            if kind != "zset":
                assert await ledger.vote(identity, vote()) is LOST
                assert server.tell("DUMP", f"{PREFIX}q:{identity}") == before
            assert "holds what we did not write" in ledger.trouble()


@EVERY_SERVER
@pytest.mark.parametrize(
    ("name", "forged"),
    [
        ("epoch", "yesterday"), ("epoch", "99999999999999999999"), ("d:sha256:a", "r-1 A soon"),
        ("d:sha256:a", ""), ("g:grant", "-5"), ("g:grant", "1.5"),
    ],
)  # fmt: skip
async def test_a_forged_text_is_a_store_loss(
    program: Path, tmp_path: Path, name: str, forged: str
) -> None:
    with redis_servers.running(program, tmp_path) as server:
        async with connected(server.port) as ledger:
            server.tell("SET", PREFIX + name, forged)
            found = await observed(ledger, asked(uses=((Use("grant", 5, 0),),)))
            assert found.seen is Seen.LOST
            assert "holds what we did not write" in ledger.trouble()


@EVERY_SERVER
@pytest.mark.promise("L6")
@pytest.mark.parametrize("cell", ["", "1 2", "1 -1 0", "x y z", "1 1 0 0"])
async def test_a_forged_count_is_a_store_loss(program: Path, tmp_path: Path, cell: str) -> None:
    with redis_servers.running(program, tmp_path) as server:
        async with connected(server.port) as ledger:
            assert await seen(ledger) is Seen.ADMITTED
            server.tell("LSET", f"{PREFIX}w:{window().key}", 0, cell)
            assert await seen(ledger) is Seen.LOST


@EVERY_SERVER
@pytest.mark.promise("D11")
async def test_a_forged_or_truncated_request_is_not_there_and_said_once(
    program: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Issue 4, bad input: forged or truncated ledger entries."""
    with redis_servers.running(program, tmp_path) as server:
        async with connected(server.port) as ledger:
            first = await opened(ledger, request())
            other = await opened(ledger, request(2, digest="sha256:b"))
            whole = server.tell("HGET", f"{PREFIX}q:{first}", "t")
            assert isinstance(whole, bytes)
            for forged in (whole[:-1], b"", b"{}", whole.replace(b'"pending"', b'"approved"')):
                server.tell("HSET", f"{PREFIX}q:{first}", "t", forged)
                with caplog.at_level(logging.WARNING, logger="mesh7.ledger"):
                    assert await ledger.request(first) == Unknown()
                    assert await ledger.vote(first, vote()) == Unknown()
                    assert isinstance(await ledger.claim(first, "sha256:a", ()), Refused)
                listed = await ledger.requests()
                assert isinstance(listed, tuple)
                assert [one.id for one in listed] == [other]
            assert [record.getMessage() for record in caplog.records].count(
                f"redis at 127.0.0.1:{server.port}: what is kept as request `{first}` is none of"
                " ours; it is ignored, see who else may write there"
            ) == 1


@EVERY_SERVER
@pytest.mark.promise("K9")
async def test_what_nobody_could_read_afterwards_is_not_written(
    program: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Review of issue 7: a request that no reader takes was opened, and waited unseen."""
    rules = tuple(replace(rule(f"r{one}"), text="x" * 4_000) for one in range(20))
    caps = Caps(per_pod=1, per_namespace=1)
    with redis_servers.running(program, tmp_path) as server:
        async with connected(server.port) as ledger:
            assert await ledger.open(request(asking=rules), caps) is LOST
            assert await ledger.requests() == ()
            assert "a call of `git.commit`: its rules come to 8" in caplog.text
            identity = await opened(ledger, request(asking=rules[:15]))
            before = await ledger.request(identity)
            chatty = replace(vote(), name="y" * redis_layout.LONGEST_TEXT)
            assert isinstance(await ledger.vote(identity, chatty), Refused)
            assert await ledger.request(identity) == before


@EVERY_SERVER
@pytest.mark.promise("AG5")
async def test_a_pointer_to_an_approval_of_another_call_lets_nothing_run(
    program: Path, tmp_path: Path
) -> None:
    """The digest is looked at again when an approval is used; under another id it is none."""
    with redis_servers.running(program, tmp_path) as server:
        async with connected(server.port) as ledger:
            identity = await opened(ledger, request())
            approved = await ledger.vote(identity, vote())
            assert isinstance(approved, Request)
            ends = approved.decided_at_ms + approved.use_within_ms
            server.tell("SET", f"{PREFIX}d:sha256:evil", f"{identity} A {ends}")
            found = await observed(ledger, asked(digest="sha256:evil"))
            assert (found.seen, found.request_id) == (Seen.APPROVED, identity)
            assert await ledger.claim(identity, "sha256:evil", ()) == Refused(
                f"request `{identity}` is for another call"
            )
            copy = approvals.encode(replace(approved, digest="sha256:evil"))
            server.tell("HSET", f"{PREFIX}q:r-copy", "v", approved.version, "t", copy)
            assert await ledger.request("r-copy") == Unknown()


@EVERY_SERVER
async def test_a_grant_that_cannot_be_read_is_handed_on_for_it_may_be_a_veto(
    program: Path, tmp_path: Path
) -> None:
    """One that is left out may be a veto, and one that loses the list blocks all later vetoes."""
    unread = Standing(name="forged", document="", made_at_ms=0, by="")
    second: object = None
    with redis_servers.running(program, tmp_path) as server:
        async with connected(server.port) as ledger:
            await ledger.stand("veto", "{}", "lea")
            for forged in ("", "1", "1 {}", 'x {"by":"a","document":"b"}', "1 [" + "[" * 5000):
                server.tell("HSET", f"{PREFIX}standing", "forged", forged)
                first, second = answered(await ledger.standing())
                assert first == unread
                assert isinstance(second, Standing)
                assert (second.name, second.document) == ("veto", "{}")
            assert await ledger.fall("forged") == unread
            assert answered(await ledger.standing()) == (second,)


@EVERY_SERVER
async def test_what_a_blocked_server_does_too_late_is_not_done(
    program: Path, tmp_path: Path
) -> None:
    """A vote that was answered LOST must not count seconds later, when nobody expects it."""
    with redis_servers.running(program, tmp_path) as server:
        async with connected(server.port) as ledger:
            identity = await opened(ledger, request(timeout_ms=10 * MINUTE))
            found = await ledger.request(identity)
            assert isinstance(found, Request)
            library = str(server.tell("FUNCTION", "LIST"))
            name = re.search(r"m7_\d+_[0-9a-f]{12}", library)
            assert name is not None
            keys = [f"{PREFIX}{one}" for one in ("d:sha256:a", f"q:{identity}", "requests",
                                                 "pending", "pending:pod-1")]  # fmt: skip
            late_ms = found.opened_at_ms - 2000
            words: list[str | int] = [
                identity,
                1,
                2,
                "forged",
                late_ms,
                "A",
                late_ms + MINUTE,
                late_ms + MINUTE,
            ]
            answer = server.tell(
                "FCALL", f"{name[0]}_exchange", 5, *keys, *words, f"{PREFIX}changed", ""
            )
            assert isinstance(answer, list)
            assert answer[0] == 2
            assert await ledger.request(identity) == replace(found, state=State.PENDING)
