"""One cluster for all tests of admission policies."""

from collections.abc import Iterator

import pytest

from e2e.api import backstops
from e2e.api.backstops import Ground
from e2e.cluster.fixtures import need


@pytest.fixture(scope="session")
def ground() -> Iterator[Ground]:
    """Admission policies without any webhook configuration."""
    need("api")
    with backstops.standing() as found:
        yield found
