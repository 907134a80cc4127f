"""The homes, each fresh for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.core.ledger.contract import Home
from tests.core.ledger.homes import HOMES
from tests.core.ledger.signed_homes import SIGNED_HOMES

EVERY = {**HOMES, **SIGNED_HOMES}


@pytest.fixture(params=sorted(EVERY))
async def home(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Home]:
    """One home of each kind."""
    async with EVERY[request.param](tmp_path) as opened:
        yield opened
