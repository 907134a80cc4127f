"""A pod's signed ledger over any home, and the word of an operator beside it."""

from mesh7_core.delivery import decisions, envelopes
from mesh7_core.delivery.decisions import Decision
from mesh7_core.ledger.asked import Request, State, Verdict
from mesh7_core.ledger.protocol import LOST, Ledger, Lost
from mesh7_core.ledger.signed import Desk, SignedLedger
from tests.core.delivery.parts import FIRST

NAMESPACE, UID = "shop", "uid-1"


class Signed:
    """What lies where only the operator writes, and what the pod does not believe.

    Attributes:
        laid: decisions by request id.
        doubts: what was not believed: request id, why, and the message.
        is_lost: the place cannot be read.
        fetched: how often it was read.
    """

    def __init__(self) -> None:
        self.laid: dict[str, bytes] = {}
        self.doubts: list[tuple[str, envelopes.Refusal, str]] = []
        self.is_lost = False
        self.fetched = 0

    def over(self, home: Ledger) -> SignedLedger:
        """The ledger of one pod."""
        return SignedLedger(
            home,
            Desk(
                namespace=NAMESPACE,
                uid=UID,
                fetch=self._fetch,
                verify=lambda data: decisions.unseal(data, [FIRST.public]),
                doubted=self._doubted,
            ),
        )

    def sign(self, request: Request, **changed: object) -> None:
        """Lay down what a decided request comes to, or something a little else."""
        fields = {name: getattr(decision_of(request), name) for name in Decision.__slots__}
        self.laid[request.id] = decisions.seal(Decision(**{**fields, **changed}), FIRST)

    async def _fetch(self, request_id: str) -> bytes | Lost | None:
        self.fetched += 1
        return LOST if self.is_lost else self.laid.get(request_id)

    def _doubted(self, request_id: str, refused: envelopes.Refused) -> None:
        self.doubts.append((request_id, refused.refusal, refused.message))


def decision_of(request: Request) -> Decision:
    """As the controller decides it."""
    no = [one for one in request.votes if one.verdict is Verdict.DENY]
    spoke = no or list(request.votes)
    is_approved = request.state is not State.DENIED
    span = request.use_within_ms if is_approved else request.timeout_ms
    return Decision(
        namespace=NAMESPACE, request_id=request.id, digest=request.digest, uid=UID,
        is_approved=is_approved, until_ms=request.decided_at_ms + span,
        by=tuple(one.name for one in spoke), reason=spoke[-1].reason if spoke else "",
    )  # fmt: skip
