"""What a tenant may have the controller do for its held calls, however many it makes up."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from mesh7_core.policy.rules import Rule
from mesh7_operator.approving.plan import plan
from tests.operator.approving import worlds


class _Counted(tuple[Rule, ...]):
    """Rules that count how often somebody goes through them."""

    __slots__ = ()
    gone_through = 0

    def __iter__(self) -> Iterator[Rule]:
        _Counted.gone_through += 1
        return super().__iter__()


@pytest.mark.promise("K9")
def test_a_rule_is_looked_for_once_however_many_requests_name_it() -> None:
    """Security review of issue 7, F1: requests times rules times rules is what a look had cost."""
    policy = worlds.COMPILED["shop/refunds"]
    known = {**worlds.COMPILED, policy.id: replace(policy, rules=_Counted(policy.rules))}
    found = worlds.world(*(worlds.request(number) for number in range(1, 101)), policies=known)
    _Counted.gone_through = 0
    assert len(plan(found.ground()).mirror) == 100
    assert _Counted.gone_through <= 10
