"""What the gate remembers is bounded: results, rounds, sessions, and its keys are of one form."""

import pytest

from mesh7_core.compiling import compiler
from mesh7_core.policy import calls, judge, view
from mesh7_sidecar.gate import kept, observing, results, rounds, sessions
from tests.sidecar.gate.parts import NOON, policy, refund

LIMITS = """
  limits:
  - {name: a, per: Pod, max: 1, window: 1m}
  - {name: b, per: Agent, max: 2}
  - {name: c, per: Session, max: 3}
  - {name: d, per: Namespace, max: 4, window: 2s}
  loops: {identical: 2, window: 10s}
"""
ALL = "\n  - {name: all, tools: ['*'], action: Allow, limits: [a, b, c, d]}\n"


def needs_of(call: calls.Call) -> judge.Needs:
    compiled = compiler.compile_files({"p.yaml": policy(ALL, LIMITS.lstrip("\n")).encode()})
    assert compiled.bundle is not None, compiled.diagnostics
    return judge.needs(view.view_of(compiled.bundle, call.agent), call, NOON)


@pytest.mark.promise("L7")
def test_keys_say_policy_limit_who_shares_it_and_whose_it_is() -> None:
    """Brief: `<policy>/<limit>:<per>:<subject>`."""
    call = refund(session="s-1")
    seen = observing.Observing(b"k", sessions.Sessions()).plain(needs_of(call), call, 0.0)
    said = [(one.key, one.maximum, one.window_ms, one.idle_ms) for one in seen.windows]
    [repeat] = seen.repeats
    place, _, digest = repeat.key.rpartition(":")

    assert said == [
        ("shop/a:Pod:pod-1", 1, 60_000, 0),
        ("shop/b:Agent:support", 2, 0, 0),
        ("shop/c:Session:pod-1/s-1", 3, 0, 3_600_000),
        ("shop/d:Namespace:default", 4, 2000, 0),
    ]
    assert (place, len(digest), repeat.maximum) == ("shop/loops:Pod:pod-1", 32, 2)


@pytest.mark.promise("D26")
def test_a_loop_key_hides_its_arguments_and_knows_them_again() -> None:
    """Design 11: plain hashes of small values can be guessed."""
    same, other = refund("1"), refund("2")
    digest = observing.call_digest(refund("1"), b"k")

    assert observing.call_digest(same, b"k") == digest
    assert observing.call_digest(other, b"k") != digest
    assert observing.call_digest(same, b"another") != digest


def test_a_session_without_an_id_and_one_too_many_count_against_the_pod() -> None:
    """Design 1: at most 10,000 live ones; a call without one counts against the pod."""
    words = observing.Observing(b"", sessions.Sessions(most=1))
    needs = needs_of(refund())
    keys = [
        words.plain(needs, refund(session=one), 0.0).windows[2].key for one in ("", "s-1", "s-2")
    ]

    assert keys == [
        "shop/c:Session:pod-1",
        "shop/c:Session:pod-1/s-1",
        "shop/c:Session:pod-1",
    ]


def test_an_idle_session_makes_room_and_a_busy_one_does_not() -> None:
    """Design 1: idle ones expire after an hour."""
    live = sessions.Sessions(most=2)
    told = [
        live.is_counted("p", "a", 0.0),
        live.is_counted("p", "b", 1.0),
        live.is_counted("p", "a", 3000.0),
        live.is_counted("p", "c", 3600.0),
        live.is_counted("p", "c", 3601.0),
        live.is_counted("p", "b", 3602.0),
    ]

    assert told == [True, True, True, False, True, False]
    assert len(live) == 2


def test_a_long_session_id_stands_in_a_key_as_its_digest() -> None:
    """Keys are the ledger's memory; ids are the agent's choice."""
    words = observing.Observing(b"", sessions.Sessions())
    call = refund(session="x" * 256)

    assert len(words.plain(needs_of(call), call, 0.0).windows[2].key) < 80


def test_kept_results_are_bounded_each_and_in_all() -> None:
    """Brief: 64 MiB in all, 1 MiB each; larger are not kept."""
    found = results.Results()
    large = kept.McpResult(b"x" * (results.LARGEST_BYTES - 1024))
    assert not found.keep("d", "r", kept.McpResult(b"x" * results.LARGEST_BYTES), 0.0)
    for number in range(70):
        assert found.keep(f"d{number}", f"r{number}", large, 0.0)

    assert len(found) == 64
    assert found.find("d5", 0.0) is None
    assert found.find("d6", 59.9) is not None
    assert found.find("d6", 60.0) is None
    assert len(found) == 0


def test_open_rounds_are_bounded() -> None:
    """Each waits ten minutes at most, and there are not more than fit."""
    found = rounds.Rounds()
    for number in range(rounds.MOST_OPEN + 5):
        assert found.open("base", f"s{number}", f"r{number}", 0.0)

    assert len(found) == rounds.MOST_OPEN
    assert found.take("base", "s0", 0.0) is None
    assert found.take("base", f"s{rounds.MOST_OPEN}", rounds.OPEN_S) is None
    assert not found.open("base", "", "r", 0.0)


def test_what_repeats_get_of_an_http_answer_counts_with_its_headers() -> None:
    """A result is weighed whole."""
    found = results.Results()
    headers = [(b"x-padding", b"y" * 1000)] * 1100

    assert not found.keep("d", "r", kept.HttpAnswer(200, headers, b""), 0.0)
    assert len(found) == 0
