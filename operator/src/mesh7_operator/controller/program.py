"""The controller as a program: the Lease, then everything else until it is lost or we are told."""

import asyncio

from mesh7_operator import settings
from mesh7_operator.clock import Clock


async def run(chosen: settings.Controller, clock: Clock, stopping: asyncio.Event) -> None:
    """Be one of the controllers until `stopping` is set.

    Raises:
        ClusterError, SettingsError: it cannot go on; the message says why.
    """
    raise NotImplementedError
