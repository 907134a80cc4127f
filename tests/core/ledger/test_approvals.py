"""One request's life: the table of transitions, deadlines, and bytes that are one or none."""

import itertools
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh7_core.ledger import approvals, asked
from mesh7_core.ledger.approvals import Asking, Refused, Request, State, Verdict, Vote
from tests.core.ledger import contract
from tests.core.ledger.contract import MINUTE, NO, rule, vote

T0 = 1_795_219_200_000
PENDING = approvals.opened(contract.request(), T0)


def moved(request: Request | Refused) -> Request:
    assert isinstance(request, Request)
    return request


APPROVED = moved(approvals.vote(PENDING, vote(), T0 + MINUTE))
USED = moved(approvals.claim(APPROVED, "sha256:a", T0 + 2 * MINUTE))
LIVES = {
    State.PENDING: PENDING,
    State.APPROVED: APPROVED,
    State.DENIED: moved(approvals.vote(PENDING, vote(verdict=NO), T0 + MINUTE)),
    State.EXPIRED: approvals.at(PENDING, T0 + 10 * MINUTE),
    State.WITHDRAWN: moved(approvals.withdraw(PENDING, T0 + MINUTE)),
    State.USED: USED,
    State.LAPSED: approvals.at(APPROVED, T0 + 6 * MINUTE),
}
NOW = T0 + 3 * MINUTE
BY_LEA = "was approved by `lea` at 2026-11-21T00:01:00Z"


@pytest.mark.promise("A2")
@pytest.mark.parametrize("state", State)
def test_what_the_table_does_not_name_is_refused(state: State) -> None:
    """One table drives all: written out here a second time."""
    request = LIVES[state]
    found = {
        "vote": approvals.vote(request, vote("kim"), NOW),
        "claim": approvals.claim(request, "sha256:a", NOW),
        "withdraw": approvals.withdraw(request, NOW),
        "finish": approvals.finish(request, "ok"),
    }

    assert request.state is state
    assert {step: one.state for step, one in found.items() if isinstance(one, Request)} == {
        State.PENDING: {"vote": State.APPROVED, "withdraw": State.WITHDRAWN},
        State.APPROVED: {"claim": State.USED},
        State.USED: {"finish": State.USED},
    }.get(state, {})


@pytest.mark.promise("A6")
@pytest.mark.parametrize(
    ("state", "why"),
    [
        (State.APPROVED, BY_LEA),
        (State.DENIED, "was denied by `lea` at 2026-11-21T00:01:00Z"),
        (State.EXPIRED, "expired at 2026-11-21T00:10:00Z, before enough people had decided"),
        (State.WITHDRAWN, "was withdrawn at 2026-11-21T00:01:00Z"),
        (State.USED, "was approved by `lea` and used at 2026-11-21T00:02:00Z"),
        (
            State.LAPSED,
            f"{BY_LEA} and not used before 2026-11-21T00:06:00Z",
        ),
    ],
)
def test_a_late_vote_is_told_what_happened_and_when(state: State, why: str) -> None:
    refused = approvals.vote(LIVES[state], vote("kim"), NOW)

    assert refused == Refused(f"request `{contract.request_id(1)}` {why}")


def test_deadlines_belong_to_what_comes_after_them() -> None:
    assert approvals.at(PENDING, T0 + 10 * MINUTE - 1).state is State.PENDING
    assert approvals.at(PENDING, T0 + 10 * MINUTE).state is State.EXPIRED
    assert approvals.at(APPROVED, T0 + 6 * MINUTE - 1).state is State.APPROVED
    assert approvals.at(APPROVED, T0 + 6 * MINUTE).state is State.LAPSED


def test_what_answers_a_digest() -> None:
    denied = LIVES[State.DENIED]

    assert [state for state in State if approvals.answers(LIVES[state], NOW)] == [
        State.PENDING,
        State.APPROVED,
        State.DENIED,
    ]
    assert approvals.answers(denied, T0 + 11 * MINUTE - 1)
    assert not approvals.answers(denied, T0 + 11 * MINUTE)
    assert not approvals.answers(PENDING, T0 + 10 * MINUTE)


NAMES = st.sampled_from(["lea", "kim", "max", "eve"])
GROUPS = st.lists(st.sampled_from(["a", "b", "c"]), max_size=2, unique=True).map(tuple)
ASKED = st.lists(
    st.builds(rule, st.sampled_from(["x", "y"]), GROUPS, st.integers(1, 3)), min_size=1, max_size=2
).map(tuple)
VOTES = st.lists(st.builds(vote, NAMES, st.sampled_from(Verdict), GROUPS), max_size=6)


@given(ASKED, VOTES)
def test_it_is_approved_when_every_rule_has_its_people_and_denied_by_one_no(
    asking: tuple[Asking, ...], votes: list[Vote]
) -> None:
    """The law of votes, counted once more from what was taken."""
    request = approvals.opened(contract.request(asking=asking), T0)
    taken: list[Vote] = []
    for number, one in enumerate(votes):
        after = approvals.vote(request, one, T0 + number)
        if isinstance(after, Request):
            taken.append(one)
            request = after

    yes = [one for one in taken if one.verdict is Verdict.APPROVE]
    people = [one.person for one in yes]
    has_all = all(
        len({one.person for one in yes if not each.groups or set(each.groups) & set(one.groups)})
        >= each.count
        for each in asking
    )
    has_no = len(yes) < len(taken)
    assert len(people) == len(set(people))
    assert request.state is (
        State.DENIED if has_no else State.APPROVED if has_all else State.PENDING
    )
    assert request.version == 1 + len(taken)
    assert approvals.decode(approvals.encode(request)) == request


POLICIES = st.sampled_from([(), ("default/p",), ("default/q",), ("default/p", "default/q")])
SAID = st.lists(
    st.builds(
        lambda one, policies: replace(one, policies=policies),
        st.builds(vote, NAMES, st.sampled_from(Verdict), GROUPS),
        POLICIES,
    ),
    max_size=6,
)
OF_TWO = st.lists(
    st.builds(
        lambda one, policy: replace(one, rule=one.rule.replace("/p/", f"/{policy}/")),
        st.builds(rule, st.sampled_from(["x", "y"]), GROUPS, st.integers(1, 3)),
        st.sampled_from(["p", "q"]),
    ),
    min_size=1,
    max_size=3,
).map(tuple)


def one_by_one(request: Request, votes: list[Vote]) -> Request:
    for one in votes:
        after = approvals.vote(request, one, NOW)
        request = after if isinstance(after, Request) else request
    return request


@pytest.mark.promise("A6")
@given(OF_TWO, SAID, st.sampled_from([State.PENDING, State.APPROVED, State.DENIED]))
def test_a_tally_of_votes_comes_to_what_they_come_to_one_by_one(
    asking: tuple[Asking, ...], votes: list[Vote], found: State
) -> None:
    """Issue 7: the controller counts all votes at once, whatever stands in Redis."""
    request = replace(LIVES[found], asking=asking)
    voted = one_by_one(approvals.opened(request, T0), votes)
    told = approvals.tally(request, votes, NOW)

    assert told.state is voted.state
    assert told.votes == (() if voted.state is State.PENDING else voted.votes)
    assert told.decided_at_ms == voted.decided_at_ms
    assert approvals.decode(approvals.encode(told)) == told
    assert approvals.tally(told, told.votes or votes, NOW + 1) is told


@pytest.mark.parametrize("state", set(State) - {State.PENDING, State.APPROVED, State.DENIED})
def test_a_tally_reopens_nothing_that_is_closed(state: State) -> None:
    """docs/developer/ledger.md, the life of a request."""
    assert approvals.tally(LIVES[state], [vote()], NOW) is LIVES[state]


@pytest.mark.promise("K9")
@pytest.mark.parametrize("state", [State.APPROVED, State.DENIED])
def test_forged_votes_are_pending_again_in_a_tally_without_them(state: State) -> None:
    """Issue 7: a Redis writer forging a decision."""
    told = approvals.tally(LIVES[state], [], NOW)

    assert told == replace(PENDING, version=LIVES[state].version + 1)
    assert approvals.tally(told, [], NOW) is told


def test_a_tally_keeps_the_time_of_the_decision() -> None:
    """A decision that is written once more can be used no longer than it could before."""
    told = approvals.tally(PENDING, [vote()], T0 + 9 * MINUTE, T0 + MINUTE)

    assert (told.state, told.decided_at_ms) == (State.APPROVED, T0 + MINUTE)
    assert approvals.tally(PENDING, [vote()], T0 + 11 * MINUTE).state is State.EXPIRED


@pytest.mark.promise("A6")
def test_a_no_counts_after_ones_own_yes() -> None:
    """docs/reference/grant.md: one valid no is the end, whoever said yes before."""
    request = approvals.opened(contract.request(asking=(rule(count=2),)), T0)
    half = moved(approvals.vote(request, vote(), T0))

    turned = moved(approvals.vote(half, vote(verdict=NO), T0 + 1))

    assert (half.state, turned.state) == (State.PENDING, State.DENIED)
    assert approvals.tally(request, [vote(), vote(verdict=NO)], NOW).state is State.DENIED
    assert approvals.decode(approvals.encode(turned)) == turned
    assert approvals.decode(approvals.encode(replace(turned, votes=turned.votes[::-1]))) is None
    assert isinstance(approvals.vote(turned, vote(), T0 + 2), Refused)


@given(SAID)
def test_what_reads_as_repeated_is_what_repeats(votes: list[Vote]) -> None:
    """Bytes of a hostile store are read at once, and judged as `asked.repeats` would."""
    request = replace(LIVES[State.DENIED], votes=(*votes, vote("zoe", NO)))
    repeated = any(
        asked.repeats(one, before)
        for at, one in enumerate(request.votes)
        for before in request.votes[:at]
    )
    assert (approvals.decode(approvals.encode(request)) is None) == repeated


def test_one_person_speaks_for_one_policy_after_another() -> None:
    """Each policy that asks is answered by a Grant of its own."""
    asking = (rule("x"), replace(rule("y"), rule="default/q/y"))
    request = approvals.opened(contract.request(asking=asking), T0)
    first, second = (replace(vote(), policies=(f"default/{name}",)) for name in ("p", "q"))

    told = approvals.tally(request, [first, first, second], NOW)
    assert told.state is State.APPROVED
    assert [one.policies for one in told.votes] == [("default/p",), ("default/q",)]
    assert approvals.tally(request, [first, first], NOW).state is State.PENDING
    assert approvals.decode(approvals.encode(replace(told, votes=told.votes * 2))) is None


@pytest.mark.parametrize("state", State)
def test_every_request_survives_being_written(state: State) -> None:
    assert approvals.decode(approvals.encode(LIVES[state])) == LIVES[state]


@pytest.mark.promise("A2")
@pytest.mark.parametrize("state", State)
def test_every_part_of_a_written_request_alone_is_none(state: State) -> None:
    """Issue 4: truncated ledger entries."""
    written = approvals.encode(LIVES[state])

    assert [cut for cut in range(len(written)) if approvals.decode(written[:cut])] == []


WRITTEN = json.loads(approvals.encode(USED))
WRONG: dict[type, list[object]] = {
    str: [None, 1, True, []],
    int: ["1", 1.0, True, None, -1],
    list: [None, "x", {}, [1]],
}


@pytest.mark.promise("A2")
@pytest.mark.parametrize("key", sorted(WRITTEN))
def test_a_missing_or_mistyped_key_makes_it_none(key: str) -> None:
    """Issue 4: forged ledger entries."""
    missing = [{name: value for name, value in WRITTEN.items() if name != key}]
    mistyped = [WRITTEN | {key: wrong} for wrong in WRONG[type(WRITTEN[key])]]
    # Written where it says something alone.
    without = [] if key == "traceparent" else missing

    assert [
        one for one in (*without, *mistyped) if approvals.decode(json.dumps(one).encode())
    ] == []


@pytest.mark.promise("A2")
@pytest.mark.parametrize(
    "forged",
    [
        replace(PENDING, state=State.APPROVED, decided_at_ms=T0 + 1),
        replace(USED, state=State.APPROVED),
        replace(APPROVED, used_at_ms=T0 + MINUTE * 2),
        replace(APPROVED, state=State.PENDING, decided_at_ms=0),
        replace(APPROVED, votes=()),
        replace(APPROVED, votes=APPROVED.votes * 2),
        replace(APPROVED, decided_at_ms=T0 - 1),
        replace(USED, used_at_ms=T0),
        replace(LIVES[State.DENIED], state=State.PENDING, decided_at_ms=0),
        replace(LIVES[State.DENIED], state=State.APPROVED),
        replace(APPROVED, asking=()),
        replace(APPROVED, asking=(rule(groups=("board",)),)),
        replace(APPROVED, asking=(rule(count=2),)),
        replace(PENDING, outcome="ok"),
        replace(PENDING, id=""),
    ],
)
def test_a_state_that_its_votes_and_times_do_not_carry_makes_it_none(forged: Request) -> None:
    assert approvals.decode(approvals.encode(forged)) is None


@pytest.mark.parametrize(
    "written",
    [b"", b"null", b"[]", b"{}", b"\xff\xfe", b"[" * 100_000, approvals.encode(USED) + b"x"],
)
def test_what_is_no_request_at_all_is_none(written: bytes) -> None:
    assert approvals.decode(written) is None


def test_an_unknown_word_or_an_extra_key_makes_it_none() -> None:
    others = [WRITTEN | {"state": "blessed"}, WRITTEN | {"more": 1}]
    nested = json.loads(json.dumps(WRITTEN))
    nested["votes"][0]["verdict"] = "maybe"

    assert [approvals.decode(json.dumps(one).encode()) for one in (*others, nested)] == [None] * 3


BEFORE = (
    b'{"agent":"default/tester","arguments":"{}","asking":[{"count":1,"groups":["finance"],'
    b'"rule":"default/p/big","text":"ask finance"}],"cut_from_bytes":0,'
    b'"decided_at_ms":1795219260000,"definition":"","digest":"sha256:a",'
    b'"id":"r-00000000000000000000000001","opened_at_ms":1795219200000,"outcome":"",'
    b'"pod":"pod-1","state":"approved","timeout_ms":600000,"tool":"git.commit","trace_id":"",'
    b'"use_within_ms":300000,"used_at_ms":0,"version":2,"votes":[{"at_ms":1795219260000,'
    b'"evidence":"","groups":["finance"],"name":"lea","person":"uid:1000","reason":"fine",'
    b'"verdict":"approve"}]}'
)
"""As the release before wrote it."""


def test_a_request_that_the_release_before_wrote_is_read() -> None:
    """Issue 7: a laptop's SQLite file outlives an update."""
    request = approvals.decode(BEFORE)

    assert request is not None
    assert (request.state, request.votes[0].policies) == (State.APPROVED, ())
    added = (request.uid, request.family, request.source_kind, request.source_host, request.mark)
    assert added == ("", "tools", "mcp", "", "")
    assert approvals.decode(BEFORE.replace(b'"outcome":"",', b"")) is None
    assert approvals.decode(BEFORE.replace(b'"outcome":"",', b'"outcome":"","uid":"",')) is None
    assert approvals.decode(approvals.encode(request)) == request


def test_the_span_that_waits_is_written_where_there_is_one_alone() -> None:
    """Issue 8: what says nothing is read by those who do not know the key."""
    untraced = replace(USED, traceparent="")

    assert b'"traceparent"' in approvals.encode(USED)
    assert b'"traceparent"' not in approvals.encode(untraced)
    assert approvals.decode(approvals.encode(untraced)) == untraced


BEFORE_TRACES = {
    "agent", "arguments", "asking", "cut_from_bytes", "decided_at_ms", "definition", "digest",
    "family", "id", "mark", "opened_at_ms", "outcome", "pod", "salt", "source",
    "source_host", "source_kind", "state", "timeout_ms", "tool", "trace_id", "uid",
    "use_within_ms", "used_at_ms", "version", "votes",
}  # fmt: skip
"""Of a request, as the release before wrote it, and no other key could it read."""


def test_a_release_without_traces_reads_what_has_none() -> None:
    """docs/administrator/upgrade.md, going back: a key too many makes it no request there."""
    written = json.loads(approvals.encode(replace(USED, traceparent="")))

    assert written.keys() == BEFORE_TRACES
    assert json.loads(approvals.encode(USED)).keys() == BEFORE_TRACES | {"traceparent"}


def test_the_table_leads_somewhere_from_everywhere_it_should() -> None:
    ends = {State.DENIED, State.EXPIRED, State.WITHDRAWN, State.LAPSED}

    for state, step in itertools.product(ends, approvals.Step):
        assert (state, step) not in approvals.TRANSITIONS
