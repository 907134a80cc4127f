"""A scene for each test that asks for one; `program` (EVERY_SERVER) is its Redis."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mesh7_operator.anchoring.trimming import Terms
from tests.operator.controller.auditing import scene as scenes
from tests.operator.controller.auditing.scene import Leader, Scene


@pytest.fixture
def terms() -> Terms:
    """How much is kept; a module that asks for less says so."""
    return scenes.WEEK


@pytest.fixture
async def scene(program: Path, tmp_path: Path, terms: Terms) -> AsyncIterator[Scene]:
    async with scenes.opened(program, tmp_path, terms) as opened:
        yield opened


@pytest.fixture
def leader(scene: Scene) -> Leader:
    """The first; it has looked once."""
    return scene.leader
