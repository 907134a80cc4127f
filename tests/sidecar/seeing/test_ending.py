"""What waits for a collector when a gateway ends."""

import asyncio

import pytest

from mesh7_sidecar.seeing import ending
from tests.fakes.threads import NoThreads


async def test_what_waits_is_sent_by_a_thread() -> None:
    sent: list[str] = []
    await ending.sent(lambda: sent.append("all"))

    assert sent == ["all"]


async def test_an_agent_that_takes_all_threads_keeps_no_gateway_from_ending(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The bound on processes is the pod's: what ends beside it, such as the audit, ends whole."""
    asyncio.get_running_loop().set_default_executor(NoThreads())
    await ending.sent(lambda: None)

    assert "what waits for a collector is not sent" in caplog.text
