"""All that is known of one namespace's held calls at one moment: values.

Pure: no clock, no network, no logging.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from mesh7_core.delivery import keys
from mesh7_core.ledger.asked import Request
from mesh7_core.policy.destination import Destination
from mesh7_core.policy.rules import Policy
from mesh7_operator.reconciling.world import Written

MOST_MIRRORED = 1_000
"""ApprovalRequests of a namespace, closed ones too; beyond it closed ones are deleted."""
MOST_OPEN = 200
"""Of them that wait or can be used; beyond it nothing is mirrored until some close."""
MOST_OPEN_OF_POD = 20
"""Of these that wait, so that one pod hides no other's; a sidecar opens as many by itself."""
MOST_MIRRORED_BYTES = 16 * 1024 * 1024
"""Of a namespace's ApprovalRequests (`mirrored.size_bytes`); the longest closed give way."""
KEPT_S = 24 * 60 * 60
"""How long an ApprovalRequest stays after it closed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InLedger:
    """One request as Redis holds it: whoever has the namespace's credentials may have written it.

    Attributes:
        request: in the state that it has at `Ground.store_ms`.
        decision: what lies there as its signed decision; empty = nothing.
    """

    request: Request
    decision: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """One namespace.

    Attributes:
        ledger: by id: those that are pending there, and whatever else was asked for by id (every
            open mirror, those that somebody told of); a mirror that is not in it is forgotten
            there, unless it is left out. None while Redis is lost: nothing is closed, decided or
            mirrored then.
        left_out: ids of what is there, and was too much to be read: nothing of it is known now.
        store_ms: Redis's clock; 0 while it is lost.
        mirrors: ApprovalRequests as the API server has them; `spec.arguments` left out.
        grants: exact Grants alone (`compilation.is_exact`), whatever their statuses.
        policies: compiled, by id, those of the bundle in force; None: nothing compiles now.
        sources: by name, where calls go by the same bundle.
        pods: uid by name, of those that requests and mirrors name, that are there and not ending;
            None: they could not be listed, nobody is taken for gone and nothing is decided.
        stamps: public keys of the injector's stamps.
        signer: signs decisions.
        now: aware, UTC.
        room: how many new mirrors the flood guard allows now.
        most_bytes: what all its mirrors may come to; less when the whole cluster's are too much.
        gone: ids of requests that closed, and whose mirrors were deleted since.
    """

    namespace: str
    ledger: Mapping[str, InLedger] | None
    store_ms: int
    mirrors: tuple[Written, ...]
    grants: tuple[Written, ...]
    policies: Mapping[str, Policy] | None
    sources: Mapping[str, Destination]
    pods: Mapping[str, str] | None
    stamps: tuple[bytes, ...]
    signer: keys.SigningKey = field(repr=False)
    now: datetime
    room: int = MOST_OPEN
    most_bytes: int = MOST_MIRRORED_BYTES
    gone: Collection[str] = ()
    left_out: Collection[str] = ()

    def source_of(self, tool: str) -> Destination | None:
        """Where this tool's calls go; None: no ToolSource says so."""
        return self.sources.get(tool.partition(".")[0])
