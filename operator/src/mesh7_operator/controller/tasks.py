"""Several coroutines that live and end together."""

import asyncio
from collections.abc import Coroutine


async def first_of(*coroutines: Coroutine[object, object, object]) -> None:
    """Run them until the first one ends; end the others, and pass on what the first one raised."""
    running = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for one in running:
            one.cancel()
        await asyncio.gather(*running, return_exceptions=True)
    for one in done:
        one.result()
