"""Using an approval: on disk here first, then in the ledger, and only then may the call run.

Whoever comes second in either is told so and runs nothing. A claim that did not come through is
taken back, because its claimer knows that nothing ran.
"""

from collections.abc import Callable, Sequence
from enum import Enum

from mesh7_core.ledger.asked import Request
from mesh7_core.ledger.protocol import LOST, Ledger, Window
from mesh7_sidecar.gate.journal import Claim, Journal


class Claimed(Enum):
    """What came of an approval that was to be used."""

    OURS = "ours"
    """Both say first: the call runs, now or never."""
    BEFORE = "before"
    """It ran once, or was about to; the ledger had forgotten that."""
    REFUSED = "refused"
    """The ledger does not let it be used; nothing ran."""
    UNWANTED = "unwanted"
    """Nobody waits for it any more; nothing ran, and it can still be used."""
    UNAVAILABLE = "unavailable"
    """It cannot be claimed in both; nothing ran."""


async def claim(  # noqa: PLR0913 - what is written down in the two books
    ledger: Ledger,
    journal: Journal,
    request_id: str,
    digest: str,
    windows: Sequence[Window],
    *,
    usable_s: float,
    is_wanted: Callable[[], bool],
) -> Claimed:
    """Use the approval `request_id` of the call `digest`, if `is_wanted` still says so.

    Args:
        ledger: where the request is.
        journal: of this gateway.
        request_id: approved.
        digest: of the exact call.
        windows: that the call counts in.
        usable_s: how long the approval can be used, at most.
        is_wanted: whether somebody still waits; asked once the claim is on disk.
    """
    match await journal.claim(request_id, usable_s):
        case Claim.UNWRITABLE:
            return Claimed.UNAVAILABLE
        case Claim.BEFORE:
            await _remind(ledger, journal, request_id, digest, windows)
            return Claimed.BEFORE
        case Claim.FIRST:
            pass
    if not is_wanted():
        await journal.release(request_id)
        return Claimed.UNWANTED
    used = await ledger.claim(request_id, digest, windows)
    if isinstance(used, Request):
        return Claimed.OURS
    await journal.release(request_id)
    return Claimed.UNAVAILABLE if used is LOST else Claimed.REFUSED


async def _remind(
    ledger: Ledger, journal: Journal, request_id: str, digest: str, windows: Sequence[Window]
) -> None:
    """Tell a ledger that forgot, so that the next repeat asks people anew."""
    used = await ledger.claim(request_id, digest, windows)
    outcome = await journal.outcome(request_id)
    if isinstance(used, Request) and outcome:
        await ledger.finish(request_id, outcome)
