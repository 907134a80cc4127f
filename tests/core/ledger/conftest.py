"""The homes, each fresh for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.core.ledger.contract import Home
from tests.core.ledger.homes import HOMES


@pytest.fixture(params=sorted(HOMES))
async def home(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Home]:
    """One home of each kind."""
    async with HOMES[request.param](tmp_path) as opened:
        yield opened
