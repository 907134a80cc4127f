"""A store's clock that is set back: limits hold, and nobody waits for the future to come again."""

import pytest

from mesh7_core.ledger.protocol import Seen
from tests.core.ledger.contract import MINUTE, SECOND, Home, observed, plain, window


@pytest.mark.promise("L1")
async def test_calls_of_a_future_that_is_gone_count_from_now_on(home: Home) -> None:
    """Issue 4, faults: clock jump. A fail-over can lead to a server whose clock is behind."""
    three_a_minute = plain(window())
    for _ in range(3):
        assert (await observed(home.ledger, three_a_minute)).seen is Seen.ADMITTED
    await home.advance(-60 * MINUTE)
    spent = await observed(home.ledger, three_a_minute)
    assert spent.seen is Seen.SPENT
    assert MINUTE - home.slack_ms <= spent.retry_after_ms <= MINUTE
    await home.advance(MINUTE - SECOND)
    assert (await observed(home.ledger, three_a_minute)).seen is Seen.SPENT
    await home.advance(SECOND)
    assert (await observed(home.ledger, three_a_minute)).seen is Seen.ADMITTED
