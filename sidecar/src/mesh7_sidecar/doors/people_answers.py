"""What the people's doors stand on, and what they answer."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final, TypedDict, Unpack

from mesh7_core.audit.deeds import Act, Deed
from mesh7_core.ledger import protocol
from mesh7_core.ledger.asked import Request
from mesh7_core.policy import bundle
from mesh7_core.policy.destination import destination
from mesh7_sidecar.clock import Clock
from mesh7_sidecar.gate.standing import StandingGrants
from mesh7_sidecar.net.exchange import Exchange
from mesh7_sidecar.people import hurdles, shown
from mesh7_sidecar.people.clients import Clients
from mesh7_sidecar.wire import headers

_JSON: Final = [headers.JSON]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """The rest of the gateway, as far as people touch it.

    Attributes:
        agent: the service account that a grant is for when nobody is named.
        standing: grants and vetoes made by hand, as they are in force here.
        bundle: what is in force; None before the first.
        may_know: whether an agent of this name may have called here.
        waiting: how many callers wait for a request now.
        note: writes a deed down; when it returns the deed is in the file.
        new_suffix: random letters and digits for a name.
        ports: of the listeners that agents call; who is connected to them does not decide.
    """

    ledger: protocol.Ledger
    rules: hurdles.Rules
    clients: Clients
    agent: str
    standing: StandingGrants
    bundle: Callable[[], bundle.Bundle | None]
    may_know: Callable[[str], bool]
    waiting: Callable[[str], int]
    note: Callable[[Deed], Awaitable[None]]
    clock: Clock
    new_suffix: Callable[[], str]
    ports: Callable[[], Collection[int]] = tuple


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, whole."""

    status: int
    body: bytes

    def send(self, exchange: Exchange) -> None:
        """Answer with it."""
        exchange.respond(self.status, _JSON, self.body)


def against(ground: Ground, now_ms: int, requests: Sequence[Request]) -> shown.Moment:
    """What these requests are shown against."""
    in_force = ground.bundle()
    sources = {} if in_force is None else in_force.sources
    return shown.Moment(
        now_ms=now_ms,
        others=requests,
        waiting=ground.waiting,
        destinations={name: destination(one) for name, one in sources.items()},
    )


def refused(status: int, why: str) -> Answer:
    """`{"detail": …}`: what, where, what to do."""
    return Answer(status, shown.rendered({"detail": why}))


def lost(ledger: protocol.Ledger) -> Answer:
    """The ledger cannot be reached."""
    trouble = ledger.trouble() or "it does not answer"
    return refused(503, f"the ledger cannot be reached: {trouble} – nothing was done, try again")


def unsure(ledger: protocol.Ledger) -> Answer:
    """The ledger was lost while something was done."""
    trouble = ledger.trouble() or "it does not answer"
    return refused(
        503,
        f"the ledger cannot be reached: {trouble} – look whether it was done, and try again if not",
    )


class Said(TypedDict, total=False):
    """What a deed says beside who did it."""

    refused: str
    request_id: str
    tool: str
    agent: str
    grant: str
    reason: str
    trace_id: str


def deed(ground: Ground, person: hurdles.Person, act: Act, **said: Unpack[Said]) -> Deed:
    """What this person does now."""
    return Deed(
        at_ns=ground.clock.wall_ns(),
        act=act,
        person=person.account.person,
        name=person.account.name,
        evidence=person.evidence,
        **said,
    )
