"""The ledger as its users see it: what is asked of it, what it answers. One protocol, three homes.

`memory`, `sqlite` and `redis` keep it; one contract suite runs on all of them, and all answer the
same operations alike. Times are the home's own clock in Unix milliseconds, never the caller's.
A home that cannot be reached answers with a value, `LOST`, and never raises.
Pure: no clock, no network, no logging.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol

from mesh7_core.ledger.asked import Refused, Request, Vote

__all__ = [
    "LOST", "MOST_STANDING", "OBSERVED_ADMITTED", "OBSERVED_LOST", "Caps", "Changed", "Full",
    "Ledger", "Lost", "Observation", "Observed", "Opened", "Refused", "Seen", "Standing",
    "Unknown", "Use", "Window",
]  # fmt: skip

MOST_STANDING: Final = 1000
"""Standing grants and vetoes made by hand at once; another is refused until some are removed."""


class Lost(Enum):
    """The home cannot be reached, is full, read-only, or holds what it cannot read."""

    LOST = "lost"


LOST: Final = Lost.LOST


class Window:
    """One window that a call needs a place in. A plain slotted class: made on every call.

    Attributes:
        key: who shares it, without the namespace: `<policy>/<limit>:<per>:<subject>`.
        maximum: calls in any span of `window_ms`; the limit in force now, whatever was before.
        window_ms: 0 = the whole lifetime.
        idle_ms: how long an untouched lifetime count is kept; 0 = for ever.
        needs_past: a lost past refuses the call (`onStoreLoss: Deny`), so nothing is taken for it.
    """

    __slots__ = ("idle_ms", "key", "maximum", "needs_past", "window_ms")

    def __init__(
        self, key: str, maximum: int, window_ms: int, idle_ms: int = 0, *, needs_past: bool = False
    ) -> None:
        self.key = key
        self.maximum = maximum
        self.window_ms = window_ms
        self.idle_ms = idle_ms
        self.needs_past = needs_past


class Use:
    """One standing grant that may stand in for an approval.

    Attributes:
        key: whose uses are counted: another one for a grant that is made anew under an old name.
        maximum: how often in all; 0 = as often as one likes.
        expires_at_ms: by the home's clock; 0 = never. The count is forgotten with it.
    """

    __slots__ = ("expires_at_ms", "key", "maximum")

    def __init__(self, key: str, maximum: int, expires_at_ms: int) -> None:
        self.key = key
        self.maximum = maximum
        self.expires_at_ms = expires_at_ms


class Observation:
    """All that one call hangs on, taken in one atomic operation: all of it or nothing.

    Attributes:
        windows: a place in each.
        repeats: loop windows, `key` holding subject, tool and argument digest; not looked at
            when the call joins a pending request or uses an approval.
        uses: per rule that asks, the grants that could stand in for it, in order; empty when
            nobody is asked. Granted when each has one that is not expired and has uses left; a
            grant named for two rules is used once.
        digest: of the exact call, asker included; empty when nobody is asked. Places are then
            reserved under it for `lease_ms`, once however often it is observed, and do not age
            until `claim`; without it (or when granted) they are stamped at once.
        lease_ms: after which a reservation whose holder is gone lapses; an hour at most.
        is_dry: answer, and change nothing.
    """

    __slots__ = ("digest", "is_dry", "lease_ms", "repeats", "uses", "windows")

    def __init__(
        self,
        windows: tuple[Window, ...],
        repeats: tuple[Window, ...] = (),
        uses: tuple[tuple[Use, ...], ...] = (),
        digest: str = "",
        lease_ms: int = 0,
        is_dry: bool = False,  # noqa: FBT001, FBT002 - a field, not a switch
    ) -> None:
        self.windows = windows
        self.repeats = repeats
        self.uses = uses
        self.digest = digest
        self.lease_ms = lease_ms
        self.is_dry = is_dry


class Seen(Enum):
    """What an observation came to; in this order they are looked for."""

    LOST = "lost"
    """The home cannot be reached; whether anything was counted is not known."""
    DENIED = "denied"
    """People refused this exact call, and that still holds; nothing was reserved."""
    SPENT = "spent"
    """A window is full; nothing was reserved. `index` says which."""
    REPEATED = "repeated"
    """A loop window is full; nothing was reserved. `index` says which."""
    GRANTED = "granted"
    """Standing grants stand in for everybody asked; places and uses are taken."""
    APPROVED = "approved"
    """An approval waits to be claimed; places are reserved."""
    PENDING = "pending"
    """A request for this exact call is open; places are reserved."""
    ADMITTED = "admitted"
    """Places are taken, or reserved when somebody has to be asked: no request is open yet."""


class Observed:
    """The answer to an observation. A plain slotted class: made on every call.

    Attributes:
        index: into `windows` or `repeats`; 0 elsewhere.
        retry_after_ms: of SPENT and REPEATED: when a place is free again, if nobody else takes
            it; 0 = never by waiting.
        request_id: of DENIED, APPROVED and PENDING.
        unknown: indexes of windows whose past the home has lost (an unknown epoch younger than
            the window): they admitted without knowing; the judge says what that means.
        granted: of GRANTED: keys of the grants used.
    """

    __slots__ = ("granted", "index", "request_id", "retry_after_ms", "seen", "unknown")

    def __init__(
        self,
        seen: Seen,
        index: int = 0,
        retry_after_ms: int = 0,
        request_id: str = "",
        unknown: tuple[int, ...] = (),
        granted: tuple[str, ...] = (),
    ) -> None:
        self.seen = seen
        self.index = index
        self.retry_after_ms = retry_after_ms
        self.request_id = request_id
        self.unknown = unknown
        self.granted = granted


OBSERVED_LOST: Final = Observed(Seen.LOST)
OBSERVED_ADMITTED: Final = Observed(Seen.ADMITTED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Caps:
    """How many requests may be pending at once."""

    per_pod: int = 20
    per_namespace: int = 200


@dataclass(frozen=True, slots=True)
class Opened:
    """A request is pending under this id: ours, or the one that was there for the same digest."""

    request_id: str


@dataclass(frozen=True, slots=True)
class Full:
    """Nothing was opened: as many are pending as may be.

    Attributes:
        per: `Pod` or `Namespace`.
    """

    per: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """There is nothing by this id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One standing grant or veto that people made by hand, as written (`kind: Grant`).

    Attributes:
        name: unique in the namespace.
        document: the manifest as JSON; empty when what is kept cannot be read.
        made_at_ms: by the home's clock.
        by: who made it.
    """

    name: str
    document: str
    made_at_ms: int
    by: str


@dataclass(frozen=True, slots=True)
class Changed:
    """Something changed, here or elsewhere.

    Attributes:
        request_id: the request that changed; empty when it is the standing grants, or when
            everything may have changed (after a lost connection).
    """

    request_id: str


class Ledger(Protocol):
    """One namespace's ledger. Coroutines may be cancelled; what they asked for may still happen."""

    def observe(self, observation: Observation, answer: Callable[[Observed], None]) -> None:
        """Take all that a call hangs on, or nothing; `answer` is called once, now or later."""

    async def open(self, request: Request, caps: Caps) -> Opened | Full | Lost:
        """Ask people, or join the request that answers the same digest, whatever the caps say.

        That is one that is pending, approved and not used, or denied less than its `timeout_ms`
        ago (`approvals.answers`): whoever joins observes again to see which.

        The home sets `opened_at_ms` by its own clock.
        """

    async def vote(self, request_id: str, vote: Vote) -> Request | Refused | Unknown | Lost:
        """One person's yes or no (`approvals.vote`), timed by the home; the request after it."""

    async def claim(
        self, request_id: str, digest: str, windows: Sequence[Window]
    ) -> Request | Refused | Lost:
        """Use an approval, once: approved → used, its reserved places stamped now.

        A place that is no longer reserved is taken if there is one; else Refused, unclaimed.
        """

    async def finish(self, request_id: str, outcome: str) -> Lost | None:
        """Note what became of a claimed call; until then its outcome is unknown."""

    async def give_back(self, digest: str, windows: Sequence[Window]) -> Lost | None:
        """Free what is reserved under `digest`; nothing reserved is fine."""

    async def withdraw(self, request_id: str) -> Lost | None:
        """Pending → withdrawn: the pod is gone, or no rule asks any more."""

    async def requests(self) -> tuple[Request, ...] | Lost:
        """All that are open, and those closed within the last 24 hours; oldest first.

        Each in the state it has now by the home's clock (`approvals.at`).
        """

    async def request(self, request_id: str) -> Request | Unknown | Lost:
        """One of them, by its whole id."""

    async def used(self, keys: Sequence[str]) -> tuple[int, ...] | Lost:
        """How often each of these grants was used (`Use.key`); 0 when never or expired."""

    async def standing(self) -> tuple[Standing, ...] | Lost:
        """All standing grants and vetoes made by hand, by name."""

    async def stand(self, name: str, document: str, by: str) -> Standing | Refused | Lost:
        """Keep a grant or veto; a name that is taken is refused."""

    async def fall(self, name: str) -> Standing | Unknown | Lost:
        """Remove one; what it was."""

    def subscribe(self, told: Callable[[Changed], None]) -> Callable[[], None]:
        """Be told of changes, also those made by others; the answer ends that.

        What time alone changes is told by nobody: a request's times say when it expires.
        """

    async def now_ms(self) -> int | Lost:
        """The home's clock."""

    def trouble(self) -> str:
        """Why it is lost, for people; empty when it is not."""

    async def close(self) -> None:
        """Write what is not written, let go."""
