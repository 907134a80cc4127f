"""What a call needs of the ledger, as one observation; what was observed, as facts.

A window's key is `<policy>/<limit>:<per>:<subject>`; the agent's namespace is the ledger's and is
left out, a baseline of another namespace keeps its own. Pure: no clock, no network, no logging.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Final

import orjson

from mesh7_core.audit import lines
from mesh7_core.ledger.protocol import Observation, Observed, Seen, Use, Window
from mesh7_core.policy import calls, judge, standing
from mesh7_core.policy.bundle import Grant
from mesh7_core.policy.rules import Limit, Loop, Per, StoreLoss
from mesh7_sidecar.gate.sessions import Sessions

SESSION_IDLE_MS: Final = 3_600_000
"""A session that is not seen for so long has no lifetime count any more."""
MOST_REMEMBERED: Final = 1024
LONGEST_SESSION: Final = 64
"""Characters of a session id in a key; longer ones stand there as their digest."""

_DIGEST_BYTES: Final = 16
_SEEN: Final = {
    Seen.LOST: judge.Ledger.UNAVAILABLE,
    Seen.DENIED: judge.Ledger.DENIED,
    Seen.SPENT: judge.Ledger.SPENT,
    Seen.REPEATED: judge.Ledger.LOOPED,
    Seen.GRANTED: judge.Ledger.GRANTED,
    Seen.APPROVED: judge.Ledger.APPROVED,
    Seen.PENDING: judge.Ledger.PENDING,
    Seen.ADMITTED: judge.Ledger.ADMITTED,
}


class Observing:
    """Puts needs into the ledger's words.

    Args:
        key: of the digests in loop keys, at most 64 bytes.
        sessions: which of them are counted.
    """

    def __init__(self, key: bytes, sessions: Sessions) -> None:
        self._key = key
        self._sessions = sessions
        self._remembered: dict[
            tuple[int, int], tuple[judge.Needs, calls.Agent, Observation | None]
        ] = {}

    def plain(self, needs: judge.Needs, call: calls.Call, now_s: float) -> Observation:
        """What a call needs of which nobody is asked.

        Args:
            needs: of the call.
            call: the attempt.
            now_s: never goes back.
        """
        place = (id(needs), id(call.agent))
        found = self._remembered.get(place)
        # An id is given to another object once its owner is gone, so look who it is.
        if found is None or found[0] is not needs or found[1] is not call.agent:
            found = self._remember(place, needs, call, now_s)
        if found[2] is not None:
            return found[2]
        return Observation(
            self.windows(needs.limits, call, now_s), self._repeats(needs.loops, call, now_s)
        )

    def exact(  # noqa: PLR0913 - what it is put together from
        self,
        needs: judge.Needs,
        call: calls.Call,
        now_s: float,
        *,
        covering: Sequence[Sequence[Grant]],
        digest: str,
        lease_ms: int,
        is_dry: bool = False,
    ) -> Observation:
        """What a call needs of which people are asked."""
        return Observation(
            self.windows(needs.limits, call, now_s),
            self._repeats(needs.loops, call, now_s),
            tuple(tuple(_use(grant) for grant in grants) for grants in covering),
            digest,
            lease_ms,
            is_dry,
        )

    def windows(
        self, limits: Sequence[Limit], call: calls.Call, now_s: float, prefix: str = ""
    ) -> tuple[Window, ...]:
        """A window per limit, in their order; keys begin with `prefix`."""
        return tuple(
            Window(
                prefix + self._place(limit.id, limit.per, call, now_s),
                limit.maximum,
                _milliseconds(limit.window),
                SESSION_IDLE_MS if limit.window is None and limit.per is Per.SESSION else 0,
                needs_past=limit.on_store_loss is StoreLoss.DENY,
            )
            for limit in limits
        )

    def _repeats(self, loops: Sequence[Loop], call: calls.Call, now_s: float) -> tuple[Window, ...]:
        if not loops:
            return ()
        repeated = call_digest(call, self._key)
        return tuple(
            Window(
                f"{self._place(loop.id, loop.per, call, now_s)}:{repeated}",
                loop.identical,
                _milliseconds(loop.window),
            )
            for loop in loops
        )

    def _remember(
        self, place: tuple[int, int], needs: judge.Needs, call: calls.Call, now_s: float
    ) -> tuple[judge.Needs, calls.Agent, Observation | None]:
        depends = needs.loops or any(limit.per is Per.SESSION for limit in needs.limits)
        shared = None if depends else Observation(self.windows(needs.limits, call, now_s))
        if len(self._remembered) >= MOST_REMEMBERED:
            self._remembered.clear()
        found = self._remembered[place] = (needs, call.agent, shared)
        return found

    def _place(self, identity: str, per: Per, call: calls.Call, now_s: float) -> str:
        name = identity.removeprefix(f"{call.agent.namespace}/")
        return f"{name}:{per.value}:{self._subject(per, call, now_s)}"

    def _subject(self, per: Per, call: calls.Call, now_s: float) -> str:
        agent = call.agent
        match per:
            case Per.POD:
                return agent.pod
            case Per.AGENT:
                return agent.service_account
            case Per.NAMESPACE:
                return agent.namespace
            case Per.SESSION:
                session = call.session
                if not session or not self._sessions.is_counted(agent.pod, session, now_s):
                    return agent.pod
                return f"{agent.pod}/{_short(session)}"


def facts(
    needs: judge.Needs,
    observed: Observed,
    *,
    text: str = "",
    counted: frozenset[str] = frozenset(),
) -> judge.Facts:
    """What an observation came to, in the judge's words.

    Args:
        needs: what was observed for.
        observed: the answer.
        text: what the person wrote who denied the call.
        counted: ids of limits that the gateway counted for itself.
    """
    limit = ""
    if observed.seen is Seen.SPENT:
        limit = needs.limits[observed.index].id
    elif observed.seen is Seen.REPEATED:
        limit = needs.loops[observed.index].id
    return judge.Facts(
        ledger=_SEEN[observed.seen],
        limit=limit,
        retry_after_s=seconds(observed.retry_after_ms),
        request_id=observed.request_id,
        text=text,
        grants=tuple(key.partition("@")[0] for key in observed.granted),
        lost=_lost(needs, observed, counted),
    )


def seconds(span_ms: int) -> int:
    """Whole seconds, rounded up: who waits that long has waited long enough. 0 stays 0."""
    return -(-span_ms // 1000)


def shares(
    limits: Sequence[Limit], replicas: Callable[[Per], int]
) -> tuple[tuple[Limit, int], ...]:
    """The limits that a gateway counts for itself without a ledger, and its share of each.

    A share of less than one call is none: such a limit refuses, as one without a roster does.

    Args:
        replicas: how many gateways count together per what; 0 = not known.
    """
    found = []
    for limit in limits:
        share = replicas(limit.per) if limit.on_store_loss is StoreLoss.LOCAL else 0
        if 0 < share <= limit.maximum:
            found.append((limit, limit.maximum // share))
    return tuple(found)


def call_digest(call: calls.Call, key: bytes) -> str:
    """Of the tool, its arguments and the HTTP request: what makes two calls the same to a loop."""
    digest = blake2b(key=key, digest_size=_DIGEST_BYTES)
    digest.update(lines.digest(call.arguments, key))
    said = [call.family.value, call.source, call.name]
    if call.http is not None:
        digest.update(blake2b(call.body, key=key, digest_size=_DIGEST_BYTES).digest())
        said += [call.http.method, call.http.path, call.http.query]
    digest.update(orjson.dumps(said))
    return digest.hexdigest()


def _lost(
    needs: judge.Needs, observed: Observed, counted: frozenset[str]
) -> tuple[str, ...] | None:
    if observed.seen is Seen.LOST:
        return tuple(one.id for one in needs.limits if one.id not in counted)
    if not observed.unknown:
        return None
    lost = (needs.limits[index].id for index in observed.unknown)
    return tuple(one for one in lost if one not in counted)


def use_key(grant: Grant) -> str:
    """What its uses are counted under."""
    return standing.use_key(grant.id, grant.created_at, grant.expires_at)


def _use(grant: Grant) -> Use:
    ends = grant.expires_at
    return Use(use_key(grant), grant.maximum_uses or 0, 0 if ends is None else _unix_ms(ends))


def _unix_ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _short(session: str) -> str:
    if len(session) <= LONGEST_SESSION:
        return session
    return blake2b(session.encode(), digest_size=_DIGEST_BYTES).hexdigest()


def _milliseconds(window: timedelta | None) -> int:
    return 0 if window is None else window // timedelta(milliseconds=1)
