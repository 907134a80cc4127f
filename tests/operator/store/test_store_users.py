"""Users and functions on every node: one namespace's credentials reach nothing of another's."""

from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from mesh7_core.delivery import envelopes
from mesh7_core.ledger import functions
from mesh7_core.ledger.protocol import Seen
from mesh7_core.ledger.redis import RedisLedger
from mesh7_operator import settings
from mesh7_operator.reconciling.plan import Publish
from mesh7_operator.store import passwords
from mesh7_operator.store.keeping import NodeReport
from tests.conftest import Eventually
from tests.core.ledger.redis_parts import EVERY_SERVER, SECRET, seen
from tests.operator.store.parts import (
    LIBRARY,
    MASTER,
    NOW,
    generations,
    is_dead,
    is_refused,
    libraries,
    link_of,
    storing,
    until_well,
    user_of,
    users,
)
from tests.peers import redis_servers

SIX_HOURS = timedelta(hours=6)


@EVERY_SERVER
@pytest.mark.promise("K14")
async def test_a_namespace_reaches_nothing_of_another(program: Path, tmp_path: Path) -> None:
    """Design 5; tried: one tenant's FUNCTION LOAD REPLACE changes every tenant's calls."""
    with redis_servers.running(program, tmp_path) as server:
        async with storing(server) as store:
            assert (await store.tend(["shop", "bank"], NOW)).is_kept
        server.tell("SET", "m7:{bank}:epoch", "1")
        server.tell("HSET", "m7b:{bank}:bundle", "v", "1", "t", "x")
        server.tell("HSET", "m7b:{shop}:bundle", "v", "1", "t", "x")
        with link_of(server, "shop") as link:
            for command in _ATTACKS:
                assert is_refused(link.ask(*command)), command
            assert link.ask("SET", "m7:{shop}:epoch", "1") == b"OK"
            assert link.ask("HGET", "m7b:{shop}:bundle", "t") == b"x"


_ATTACKS = (
    ("GET", "m7:{bank}:epoch"),
    ("SET", "m7:{bank}:epoch", "2"),
    ("DEL", "m7:{shop}:epoch", "m7:{bank}:epoch"),
    ("GET", "m7:{shop}x}:epoch"),
    ("HGET", "m7b:{bank}:bundle", "t"),
    ("HSET", "m7b:{shop}:bundle", "t", "forged"),
    ("DEL", "m7b:{shop}:bundle"),
    ("PEXPIRE", "m7b:{shop}:bundle", "1"),
    ("FCALL", f"{LIBRARY}_used", "1", "m7:{bank}:epoch"),
    ("FCALL", f"{LIBRARY}_deliver", "1", "m7b:{shop}:bundle", "9", "x", "m7:{shop}:changed", "1"),
    ("SUBSCRIBE", "m7:{bank}:changed"),
    ("SUBSCRIBE", "m7b:{bank}:delivered"),
    ("PSUBSCRIBE", "*"),
    ("PUBLISH", "m7:{bank}:changed", ""),
    ("FUNCTION", "LIST"), ("FUNCTION", "LOAD", "REPLACE", "x"), ("FUNCTION", "FLUSH"),
    ("FUNCTION", "DELETE", LIBRARY), ("FUNCTION", "DUMP"), ("FUNCTION", "KILL"),
    ("SCRIPT", "LOAD", "return 1"), ("EVAL", "return 1", "0"), ("EVALSHA", "x", "0"),
    ("EVAL_RO", "return 1", "0"), ("FCALL_RO", f"{LIBRARY}_used", "0"),
    ("ACL", "WHOAMI"), ("ACL", "LIST"), ("ACL", "SETUSER", "me", "+@all"),
    ("CONFIG", "GET", "*"), ("CONFIG", "SET", "requirepass", ""),
    ("KEYS", "*"), ("SCAN", "0"), ("RANDOMKEY",), ("DBSIZE",), ("SELECT", "1"),
    ("FLUSHALL",), ("FLUSHDB",), ("SHUTDOWN",), ("MONITOR",),
    ("CLIENT", "LIST"), ("CLIENT", "KILL", "ID", "1"), ("CLIENT", "PAUSE", "1000"), ("INFO",),
    ("REPLICAOF", "NO", "ONE"), ("SAVE",), ("MODULE", "LIST"), ("RENAME", "a", "b"),
    ("COPY", "m7b:{shop}:bundle", "m7:{shop}:copy"), ("MIGRATE", "h", "1", "k", "0", "1"),
    ("OBJECT", "ENCODING", "m7:{shop}:epoch"), ("SORT", "m7:{shop}:x"), ("WAIT", "1", "0"),
    ("BLPOP", "m7:{shop}:x", "0"), ("MULTI",), ("CLUSTER", "INFO"), ("SLOWLOG", "GET"),
)  # fmt: skip


@EVERY_SERVER
@pytest.mark.promise("K14")
async def test_every_node_gets_the_users_and_the_primary_the_functions(
    program: Path, tmp_path: Path, eventually: Eventually
) -> None:
    """Tried: ACL users are not replicated; functions are."""
    with (
        redis_servers.running(program, tmp_path / "1") as first,
        redis_servers.running(
            program, tmp_path / "2", [f"replicaof 127.0.0.1 {first.port}"]
        ) as two,
        redis_servers.running(
            program, tmp_path / "3", [f"replicaof 127.0.0.1 {first.port}"]
        ) as three,
    ):
        async with storing(first, two, three) as store:
            report = await store.tend(["shop"], NOW)
            assert [node.is_primary for node in report.nodes] == [True, False, False]
            assert [node.made for node in report.nodes] == [3, 3, 3]
            assert report.nodes[0].loaded
            for node in (first, two, three):
                assert users(node) == {"default"} | generations(["shop"])
                link_of(node, "shop").close()
                await eventually(partial(_has_functions, node))
            again = await store.tend(["shop"], NOW)
        assert again.is_kept
        assert [(node.made, node.restored, node.removed) for node in again.nodes] == [
            (0, (), 0)
        ] * 3


def _has_functions(server: redis_servers.Server) -> bool:
    return LIBRARY in libraries(server)


@EVERY_SERVER
async def test_a_node_that_is_down_is_told_of_and_kept_when_it_is_back(
    program: Path, tmp_path: Path
) -> None:
    with (
        redis_servers.running(program, tmp_path / "1") as first,
        redis_servers.running(program, tmp_path / "2") as second,
    ):
        async with storing(first, second) as store:
            await store.tend(["shop"], NOW)
            second.kill()
            report = await store.tend(["shop"], NOW)
            assert not report.is_kept
            assert [node.is_primary for node in report.nodes] == [True, None]
            assert f"127.0.0.1:{second.port}" in report.nodes[1].trouble
            second.start()
            await until_well(store, ["shop"])
            assert users(second) == {"default"} | generations(["shop"])


@EVERY_SERVER
@pytest.mark.promise("K14")
async def test_generations_come_and_go_and_take_their_connections_along(
    program: Path, tmp_path: Path
) -> None:
    """Issue 5: short-lived credentials; the controller deletes what passed."""
    with redis_servers.running(program, tmp_path) as server:
        async with storing(server) as store:
            await store.tend(["shop"], NOW)
            link = link_of(server, "shop")
            assert not is_dead(link)
            await store.tend(["shop"], NOW + SIX_HOURS)
            assert not is_dead(link), "the generation before still works"
            report = await store.tend(["shop"], NOW + 2 * SIX_HOURS)
            assert report.nodes[0].removed == 1
            assert is_dead(link)
            assert users(server) == {"default"} | generations(["shop"], NOW + 2 * SIX_HOURS)


@EVERY_SERVER
@pytest.mark.promise("K14")
async def test_a_sidecar_rolls_over_generations_without_losing_a_call(
    program: Path, tmp_path: Path, eventually: Eventually
) -> None:
    """Six generations, with a clock that the test moves."""
    with redis_servers.running(program, tmp_path) as server:
        async with storing(server) as store:
            await store.tend(["shop"], NOW)
            ledger = RedisLedger(
                replace(user_of("shop"), port=server.port), "shop", load=False, delivers=True
            )
            await ledger.start()
            answers = []
            for turn in range(1, 7):
                now = NOW + turn * SIX_HOURS
                answers.append(await seen(ledger))
                await store.tend(["shop"], now)
                ledger.use(replace(user_of("shop", now), port=server.port))
                answers.append(await seen(ledger))
                await eventually(partial(_is_in_use, server, user_of("shop", now).user))
            assert answers == [Seen.ADMITTED] * 3 + [Seen.SPENT] * 9
            assert ledger.trouble() == ""
            await ledger.close()


def _is_in_use(server: redis_servers.Server, user: str) -> bool:
    found = server.tell("CLIENT", "LIST")
    assert isinstance(found, bytes)
    return found.decode().count(f"user={user} ") == 2


@EVERY_SERVER
@pytest.mark.promise("K9")
@pytest.mark.promise("K14")
async def test_a_user_that_somebody_changed_is_restored_and_its_connections_end(
    program: Path, tmp_path: Path
) -> None:
    with redis_servers.running(program, tmp_path) as server:
        async with storing(server) as store:
            await store.tend(["shop", "bank"], NOW)
            name = user_of("shop").user
            for change in (["+@all"], ["~*"], [">another"], ["nopass"], ["off"], ["allchannels"]):
                link, other = link_of(server, "shop"), link_of(server, "bank")
                server.tell("ACL", "SETUSER", name, *change)
                report = await store.tend(["shop", "bank"], NOW)
                assert report.nodes[0].restored == (name,), change
                assert is_dead(link), change
                assert not is_dead(other)
                with link_of(server, "shop") as again:
                    assert is_refused(again.ask("CONFIG", "GET", "*"))
                other.close()


@EVERY_SERVER
@pytest.mark.promise("K14")
async def test_a_namespace_that_is_new_has_its_users_with_its_first_bundle(
    program: Path, tmp_path: Path
) -> None:
    """Its first pods need not wait for the next round."""
    with (
        redis_servers.running(program, tmp_path / "1") as server,
        redis_servers.running(
            program, tmp_path / "b", [f"replicaof 127.0.0.1 {server.port}"]
        ) as two,
    ):
        async with storing(server, two) as store:
            await store.tend(["bank"], NOW)
            content = Publish(kind=envelopes.Kind.BUNDLE, version=1, content=b"x")
            assert await store.publish("shop", content)
            for node in (server, two):
                assert users(node) == {"default"} | generations(["bank", "shop"])
                link_of(node, "shop").close()
            (report, _) = (await store.tend(["bank", "shop"], NOW)).nodes
            assert (report.made, report.restored) == (0, ())


@EVERY_SERVER
async def test_users_of_others_are_left_alone(program: Path, tmp_path: Path) -> None:
    with redis_servers.running(program, tmp_path) as server:
        for name in ("mesh7-laptop", "m7-operator", "billing", "m7"):
            server.tell("ACL", "SETUSER", name, "on", "nopass", "+get")
        before = server.tell("ACL", "LIST")
        async with storing(server) as store:
            await store.tend(["shop"], NOW)
            await store.tend([], NOW)
        assert server.tell("ACL", "LIST") == before


@EVERY_SERVER
@pytest.mark.promise("K14")
async def test_a_namespace_that_left_loses_its_users_at_once_and_keeps_its_counts(
    program: Path, tmp_path: Path
) -> None:
    """Issue 5, faults: namespace disenrolled."""
    with (
        redis_servers.running(program, tmp_path / "1") as server,
        redis_servers.running(
            program, tmp_path / "2", [f"replicaof 127.0.0.1 {server.port}"]
        ) as two,
    ):
        async with storing(server, two) as store:
            await store.tend(["shop", "bank"], NOW)
            server.tell("SET", "m7:{shop}:g:x", "3")
            server.tell("HSET", "m7b:{shop}:bundle", "v", "1", "t", "x")
            links = [link_of(server, "shop"), link_of(two, "shop")]
            assert await store.forget("shop")
            assert [is_dead(link) for link in links] == [True, True]
            for node in (server, two):
                assert users(node) == {"default"} | generations(["bank"])
            assert server.tell("EXISTS", "m7b:{shop}:bundle") == 0
            assert server.tell("GET", "m7:{shop}:g:x") == b"3"


@EVERY_SERVER
@pytest.mark.promise("K9")
async def test_functions_that_somebody_flushed_or_replaced_are_restored(
    program: Path, tmp_path: Path
) -> None:
    ours = functions.library_of(functions.written())
    forged = f"#!lua name={ours.name}\nredis.register_function('f', function() return 1 end)\n"
    with redis_servers.running(program, tmp_path) as server:
        async with storing(server) as store:
            await store.tend([], NOW)
            for attack in (["FLUSH"], ["DELETE", ours.name], ["LOAD", "REPLACE", forged]):
                server.tell("FUNCTION", *attack)
                report = await store.tend([], NOW)
                assert report.nodes == (
                    NodeReport(
                        place=f"127.0.0.1:{server.port}",
                        is_primary=True,
                        loaded=True,
                        open_users=("default",),
                    ),
                )
                assert libraries(server) == {ours.name: ours.text}


@EVERY_SERVER
async def test_the_release_before_and_others_functions_stay(program: Path, tmp_path: Path) -> None:
    """Design 5: N and N-1 kept."""
    with redis_servers.running(program, tmp_path) as server:
        for name in ("m7_0_a", "m7_1_b", "m7_9_c", "theirs"):
            text = f"#!lua name={name}\nredis.register_function('{name}_f', function() end)\n"
            server.tell("FUNCTION", "LOAD", text)
        async with storing(server) as store:
            await store.tend([], NOW)
        assert set(libraries(server)) == {"m7_0_a", "m7_1_b", "m7_9_c", "theirs", LIBRARY}


@EVERY_SERVER
async def test_an_emptied_server_is_as_before_after_the_next_round(
    program: Path, tmp_path: Path
) -> None:
    """Issue 5, faults: Redis empty. A server without files forgets users and functions too."""
    with redis_servers.running(program, tmp_path) as server:
        async with storing(server) as store:
            await store.tend(["shop"], NOW)
            server.kill()
            server.start()
            await until_well(store, ["shop"])
            assert users(server) == {"default"} | generations(["shop"])
            assert LIBRARY in libraries(server)


@EVERY_SERVER
async def test_another_master_secret_ends_what_followed_from_the_old_one(
    program: Path, tmp_path: Path
) -> None:
    with redis_servers.running(program, tmp_path) as server:
        async with storing(server) as store:
            await store.tend(["shop"], NOW)
        link = link_of(server, "shop")
        async with storing(server, master=b"another secret of thirty-two bytes") as store:
            assert len((await store.tend(["shop"], NOW)).nodes[0].restored) == 3
        assert is_dead(link)


@EVERY_SERVER
async def test_where_a_credential_is_given_nobody_touches_users(
    program: Path, tmp_path: Path
) -> None:
    with redis_servers.running(program, tmp_path) as server:
        server.tell("ACL", "SETUSER", "m7-shop-1", "on", "nopass")
        async with storing(server, mode=settings.RedisMode.GIVEN) as store:
            assert (await store.tend(["shop"], NOW)).is_kept
            assert await store.forget("shop")
        assert users(server) == {"default", "m7-shop-1"}
        assert LIBRARY in libraries(server)


@EVERY_SERVER
@pytest.mark.promise("K14")
async def test_a_server_that_lets_anybody_in_is_not_well_and_the_log_says_so(
    program: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Servers ship with a `default` that is root: an agent beside a sidecar may be that, too."""
    with redis_servers.running(program, tmp_path) as server:
        server.tell("ACL", "SETUSER", "operator", "on", f">{SECRET}", "~*", "&*", "+@all")
        file = tmp_path / "password"
        file.write_text(SECRET)
        async with storing(server, user="operator", password_file=file) as store:
            report = await store.tend(["shop"], NOW)
            assert (report.is_kept, report.is_closed) == (True, False)
            assert report.nodes[0].open_users == ("default",)
            assert "whoever reaches it can undo every limit" in caplog.text
            for closed in (["off"], ["on", "resetpass", ">secret"], ["nopass", "-@all"]):
                server.tell("ACL", "SETUSER", "default", *closed)
                assert (await store.tend(["shop"], NOW)).is_closed, closed


@EVERY_SERVER
async def test_an_operator_without_rights_says_which_page_helps(
    program: Path, tmp_path: Path
) -> None:
    with redis_servers.running(program, tmp_path) as server:
        server.tell("ACL", "SETUSER", "weak", "on", "nopass", "~*", "+role", "+hello", "+ping")
        async with storing(server, user="weak") as store:
            (report,) = (await store.tend(["shop"], NOW)).nodes
            assert report.trouble == (
                "functions cannot be looked at: the user may not do this; give it the rules of"
                " docs/administrator/redis.md; users cannot be kept: the user may not do this;"
                " give it the rules of docs/administrator/redis.md"
            )


@EVERY_SERVER
async def test_the_operators_user_needs_no_more_than_the_page_says(
    program: Path, tmp_path: Path
) -> None:
    """`docs/administrator/redis.md` gives the rules; this is the whole of what the store does."""
    with redis_servers.running(program, tmp_path) as server:
        server.tell("ACL", "SETUSER", "operator", "on", "nopass", *documented_rules())
        async with storing(server, user="operator") as store:
            assert (await store.tend(["shop", "bank"], NOW)).is_kept
            server.tell("ACL", "SETUSER", user_of("shop").user, "+@all")
            assert (await store.tend(["shop"], NOW + SIX_HOURS)).is_kept
            assert await store.published({"shop": ["shop/g@1@0"]}) is not None
            assert await store.forget("shop")
            assert store.trouble == ""


def documented_rules() -> list[str]:
    """What the page gives the operator."""
    page = Path(__file__).parents[3] / "docs/administrator/redis.md"
    (line,) = [one for one in page.read_text().splitlines() if "SETUSER mesh7-operator" in one]
    return line.partition(">PASSWORD ")[2].split()


@EVERY_SERVER
async def test_the_user_of_an_earlier_release_is_given_what_this_one_needs(
    program: Path, tmp_path: Path, eventually: Eventually
) -> None:
    """An upgrade that left it as it was: no decision could be laid in Redis, and none heard of."""
    file = tmp_path / "password"
    file.write_text(SECRET)
    needed = documented_rules()
    later = {"&m7:*", "+subscribe", "+unsubscribe", "+set", "+getrange"}
    with redis_servers.running(program, tmp_path / "server") as server:
        earlier = [word for word in needed if word not in later]
        server.tell("ACL", "SETUSER", "operator", "on", f">{SECRET}", *earlier)
        async with storing(server, user="operator", password_file=file, own=needed) as store:
            await eventually(lambda: store.trouble == "")
            assert (await store.tend(["shop"], NOW)).is_kept
        held = server.tell("ACL", "LIST")
        assert isinstance(held, list)
        (line,) = [one.decode() for one in held if one.startswith(b"user operator ")]
        assert later <= set(line.split())
        async with storing(server, user="operator", password_file=file) as store:
            assert (await store.tend(["shop"], NOW)).is_kept, "its password is the same"


@EVERY_SERVER
async def test_a_user_that_administrators_made_is_theirs(
    program: Path, tmp_path: Path, eventually: Eventually
) -> None:
    """docs/administrator/redis.md: at a managed Redis people say what the operator may do."""
    file = tmp_path / "password"
    file.write_text(SECRET)
    with redis_servers.running(program, tmp_path / "server") as server:
        less = [word for word in documented_rules() if word != "+getrange"]
        server.tell("ACL", "SETUSER", "operator", "on", f">{SECRET}", *less)
        async with storing(server, user="operator", password_file=file) as store:
            await eventually(lambda: store.trouble == "")
            await store.tend([], NOW)
        held = server.tell("ACL", "LIST")
        assert isinstance(held, list)
        (line,) = [one.decode() for one in held if one.startswith(b"user operator ")]
        assert "+getrange" not in line.split()


@EVERY_SERVER
async def test_a_password_that_was_rotated_is_taken_up(
    program: Path, tmp_path: Path, eventually: Eventually
) -> None:
    """The file is read again, without a restart."""
    file = tmp_path / "password"
    file.write_text(f"{SECRET}\n")
    with redis_servers.running(program, tmp_path / "server") as server:
        server.tell("ACL", "SETUSER", "operator", "on", f">{SECRET}", "~*", "&*", "+@all")
        async with storing(server, user="operator", password_file=file) as store:
            assert (await store.tend([], NOW)).is_kept
            server.tell("ACL", "SETUSER", "operator", "resetpass", ">another")
            server.tell("CLIENT", "KILL", "USER", "operator")
            await eventually(lambda: "refuses the user or the password" in store.trouble)
            file.write_text("another")
            assert not (await store.tend([], NOW)).is_kept
            await eventually(lambda: store.trouble == "")
            assert (await store.tend([], NOW)).is_kept
            server.tell("ACL", "SETUSER", "operator", "resetpass", ">third")
            file.write_text("third")
            assert (await store.tend([], NOW)).is_kept, "the connection that stands is told too"


def test_two_namespaces_cannot_be_told_to_be_the_same_user() -> None:
    """`a` of generation 1-2 does not exist: a generation is one number."""
    one = passwords.user_name(passwords.Owner("a-1", 2))
    assert passwords.owner_of(one) == passwords.Owner("a-1", 2)
    assert passwords.password(MASTER, passwords.Owner("a-1", 2)) != passwords.password(
        MASTER, passwords.Owner("a", 12)
    )
