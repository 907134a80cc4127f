"""Policies that held calls are checked by: compiled once, as sidecars compile them."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from mesh7_operator.controller.approving import compiled
from mesh7_operator.controller.approving.compiled import CompiledPolicies
from mesh7_operator.reconciling.compilation import Compilation
from tests.operator.approving import worlds as held
from tests.operator.controller.approving import held_calls


class _Parts:
    def __init__(self) -> None:
        self.found: dict[str, Compilation] = {}
        self.policies = CompiledPolicies(self.found.get)


@pytest.fixture
def parts() -> Iterator[_Parts]:
    found = _Parts()
    yield found
    found.policies.close()


async def test_they_are_those_that_a_sidecar_compiles(parts: _Parts) -> None:
    assert await parts.policies.of("shop") is None
    parts.found["shop"] = held_calls.compiled()
    found = await parts.policies.of("shop")
    assert found is not None
    assert (found.policies, found.sources) == (held.COMPILED, held.SOURCES)


async def test_they_are_compiled_anew_only_when_something_was_delivered_anew(
    parts: _Parts,
) -> None:
    parts.found["shop"] = held_calls.compiled()
    first = await parts.policies.of("shop")
    parts.found["shop"] = held_calls.compiled()
    assert await parts.policies.of("shop") is first
    parts.policies.forget("shop")
    again = await parts.policies.of("shop")
    assert again == first
    assert again is not first


async def test_of_a_bundle_that_is_too_large_nothing_is_known(parts: _Parts) -> None:
    """Another one stands in for it, and sidecars ask by that."""
    parts.found["shop"] = replace(held_calls.compiled(), is_too_large=True)
    assert await parts.policies.of("shop") is None


async def test_what_is_kept_is_bounded(parts: _Parts) -> None:
    """Ten thousand namespaces may have one open request each."""
    large = replace(held_calls.compiled(), payload=b"x" * (compiled.MOST_BYTES // 2 + 1))
    parts.found.update(shop=large, bank=large)
    first = await parts.policies.of("shop")
    assert await parts.policies.of("shop") is first
    await parts.policies.of("bank")
    assert await parts.policies.of("shop") is not first
