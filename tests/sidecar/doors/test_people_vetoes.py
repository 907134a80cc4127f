"""Kills over the unix socket: what is answered with 201 is in force, and is who was meant."""

import pytest

from mesh7_core.ledger import protocol
from mesh7_core.ledger.memory import MemoryLedger
from mesh7_sidecar.gate.observing import use_key
from tests.sidecar.doors.test_people_grants import POLICY, WISH
from tests.sidecar.people import parts
from tests.sidecar.people.parts import Place


class UnwellLedger(MemoryLedger):
    """A home that loses the operations that a test names."""

    def __init__(self) -> None:
        super().__init__(lambda: parts.START_MS)
        self.lost: set[str] = set()

    async def stand(  # type: ignore[override]
        self, name: str, document: str, by: str
    ) -> protocol.Standing | protocol.Refused | protocol.Lost:
        return protocol.LOST if "stand" in self.lost else await super().stand(name, document, by)

    async def standing(  # type: ignore[override]
        self,
    ) -> tuple[protocol.Standing, ...] | protocol.Lost:
        return protocol.LOST if "standing" in self.lost else await super().standing()

    def trouble(self) -> str:
        return "`ledger.db` cannot be written" if self.lost else ""


def vetoes(place: Place) -> list[tuple[str, str]]:
    """What is in force: id and whose calls."""
    return [(one.id, one.service_account) for one in place.current.overlay]


@pytest.mark.promise("A10")
async def test_an_unreadable_entry_is_listed_keeps_no_kill_from_working_and_is_revoked() -> None:
    """A kill answered 201 and stopped nobody, because the list was lost for ever."""
    async with parts.serving() as place:
        place.judge_by(POLICY)
        await place.ledger.stand("Forged.1", "", "")
        (found,) = (await place.ask("GET", "/control/grants")).json["grants"][:1]
        assert (found["name"], found["effect"], found["madeAt"]) == (
            "Forged.1", None, "2026-11-21T08:00:00.000Z",
        )  # fmt: skip
        assert (await place.ask("POST", "/control/kill", {"agent": "coder"})).status == 201
        assert vetoes(place) == [("default/Forged.1", ""), ("default/hand-n1", "coder")]
        assert (await place.ask("DELETE", "/control/grants/Forged.1")).status == 200
        assert vetoes(place) == [("default/hand-n1", "coder")]


@pytest.mark.promise("A10")
@pytest.mark.parametrize(
    "document",
    [
        "[" * 100_000,
        '{"spec":{"effect":"\\ud800","maxUses":' + "9" * 400 + ',"tools":["\\udfff",1]}}',
        '{"spec":{"reason":{"a":1},"when":[1e999],"policyRef":{"namespace":[[]]}}}',
    ],
    ids=["deep", "no text, no number", "other kinds"],
)
async def test_whatever_is_written_in_it_an_entry_is_listed_and_revoked(document: str) -> None:
    """Anybody may write to a shared store, and nobody may make it unmanageable."""
    ledger = UnwellLedger()
    async with parts.serving(ledger=ledger) as place:
        await ledger.stand("odd", document, "so\ud800mebody")
        found = (await place.ask("GET", "/control/grants")).json["grants"]
        assert [(each["name"], each["by"], each["maxUses"]) for each in found] == [
            ("odd", "so?mebody", None)
        ]
        assert (await place.ask("DELETE", "/control/grants/odd")).status == 200


@pytest.mark.promise("A10")
async def test_a_kill_without_the_ledger_is_in_force_and_says_that_it_is_not_stored() -> None:
    """A full disk answered 503 and let the agent go on."""
    ledger = UnwellLedger()
    async with parts.serving(ledger=ledger) as place:
        place.judge_by(POLICY)
        ledger.lost |= {"stand", "standing"}
        made = await place.ask("POST", "/control/kill", {"agent": "coder", "reason": "wild"})
        assert (made.status, made.json["name"], made.json["agent"]) == (201, "hand-n1", "coder")
        assert made.json["note"] == (
            "it is in force in this gateway alone and ends when it stops, because it cannot be "
            "stored (`ledger.db` cannot be written); that is tried again each second"
        )
        assert ("default/hand-n1", "coder") in vetoes(place)
        assert [(each.act, each.grant, each.refused) for each in place.deeds] == [
            ("kill", "hand-n1", "")
        ]


@pytest.mark.promise("A10")
@pytest.mark.parametrize("path", ["/control/kill", "/control/grants"])
async def test_what_is_stored_and_not_in_force_here_is_not_answered_as_done(path: str) -> None:
    """The list cannot be read after it was made: 503 says what to do."""
    ledger = UnwellLedger()
    async with parts.serving(ledger=ledger) as place:
        place.judge_by(POLICY)
        ledger.lost.add("standing")
        reply = await place.ask("POST", path, {} if path == "/control/kill" else WISH)
        if path == "/control/kill":
            # In force from the first moment, whether it can be read back or not.
            assert (reply.status, "note" in reply.json) == (201, False)
            assert ("default/hand-n1", "") in vetoes(place)
        else:
            assert reply.status == 503
            assert reply.detail == (
                "`hand-n1` is stored, but this gateway is not yet judging by it (`ledger.db` "
                "cannot be written) – mend that, then look with `mesh7 grants`; `mesh7 revoke "
                "hand-n1` takes it back"
            )


@pytest.mark.promise("A10")
@pytest.mark.parametrize(("given", "agent"), [("default/coder", "coder"), ("coder", "coder")])
async def test_a_kill_takes_an_agent_as_requests_show_it(given: str, agent: str) -> None:
    """`default/coder` stopped nobody and said that it did."""
    async with parts.serving() as place:
        place.judge_by(POLICY)
        made = await place.ask("POST", "/control/kill", {"agent": given})
        assert (made.status, made.json["agent"], "note" in made.json) == (201, agent, False)
        assert vetoes(place) == [("default/hand-n1", agent)]


@pytest.mark.promise("A10")
@pytest.mark.parametrize("path", ["/control/kill", "/control/grants"])
@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("bank/coder", "this gateway's agents are of `default`, write `default/<name>`"),
        ("a/default/coder", "this gateway's agents are of `default`"),
        ("/coder", "this gateway's agents are of `default`"),
        ("default/", "cannot be the name of an agent"),
        ("cod*", "cannot be the name of an agent"),
        ("-coder", "cannot be the name of an agent"),
        ("my coder", "cannot be the name of an agent"),
    ],
)
async def test_an_agent_that_cannot_be_here_is_refused(path: str, given: str, said: str) -> None:
    """A veto of nobody is worse than none."""
    async with parts.serving() as place:
        place.judge_by(POLICY)
        body = {"agent": given} | (WISH if path == "/control/grants" else {})
        reply = await place.ask("POST", path, body)
        assert reply.status == 422
        assert said in reply.detail
        assert await place.ledger.standing() == ()


@pytest.mark.promise("A10")
async def test_an_agent_that_calls_here_is_stopped_however_its_name_is_spelled() -> None:
    """`mesh7 run --agent` takes any name."""
    async with parts.serving() as place:
        place.agents.add("my coder")
        reply = await place.ask("POST", "/control/kill", {"agent": "my coder"})
        assert (reply.status, reply.json["agent"]) == (201, "my coder")


@pytest.mark.promise("A10")
@pytest.mark.parametrize("path", ["/control/kill", "/control/grants"])
async def test_a_name_that_nobody_has_called_under_is_taken_and_noted(path: str) -> None:
    """It may be misspelled; it may also call later, or elsewhere."""
    async with parts.serving() as place:
        place.judge_by(POLICY)
        body = {"agent": "default/codre"} | (WISH if path == "/control/grants" else {})
        reply = await place.ask("POST", path, body)
        assert (reply.status, reply.json["agent"]) == (201, "codre")
        assert reply.json["note"] == (
            "no agent `codre` has called this gateway so far – is it spelled as `mesh7 requests` "
            "shows agents?"
        )


@pytest.mark.promise("A9")
async def test_the_uses_of_a_grant_are_listed_as_they_are_counted() -> None:
    """A grant made anew under an old name is another one, here as where calls are judged."""
    async with parts.serving() as place:
        place.judge_by(POLICY)
        made = (await place.ask("POST", "/control/grants", WISH)).json
        (grant,) = place.current.overlay
        use = protocol.Use(use_key(grant), 5, 0)
        place.ledger.observe(protocol.Observation((), uses=((use,),)), lambda _: None)
        (found, _) = (await place.ask("GET", "/control/grants")).json["grants"]
        assert found == made | {"used": 1}
        place.judge_by(POLICY.replace("08:30:00Z", "08:40:00Z"))
        await place.ask("DELETE", "/control/grants/hand-n1")
        (found,) = (await place.ask("GET", "/control/grants")).json["grants"]
        assert (found["name"], found["used"]) == ("from-a-file", 0)
