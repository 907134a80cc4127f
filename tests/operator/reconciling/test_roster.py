"""Who divides limits while Redis is away: the roster in the bundle."""

from dataclasses import replace

from mesh7_core.delivery import payloads
from mesh7_operator.reconciling.reconcile import reconcile
from mesh7_operator.reconciling.roster import MAXIMUM_AGENTS, REST
from mesh7_operator.reconciling.world import Published, StoreState, World
from tests.operator.reconciling import worlds

LOCAL = worlds.policy(
    rules=[{**worlds.RULE, "limits": ["writes"]}],
    limits=[{"name": "writes", "per": "Agent", "max": 30, "window": "1m", "onStoreLoss": "Local"}],
)


def _sidecars(world: World, **agents: int) -> World:
    """The world with so many sidecars of each agent."""
    return worlds.reported(
        world,
        *(
            worlds.sidecar(f"{agent}-{at}", agent=agent)
            for agent, number in agents.items()
            for at in range(number)
        ),
    )


def _roster(world: World) -> payloads.Roster:
    return worlds.bundle_of(world).roster


def test_a_roster_is_counted_only_where_a_limit_asks_for_it() -> None:
    plain = worlds.settled(_sidecars(worlds.world(), support=3))
    local = worlds.settled(_sidecars(worlds.world(policies=(LOCAL,)), support=3, shopper=1))
    assert _roster(plain) == payloads.Roster()
    assert _roster(local) == payloads.Roster(sidecars=4, agents={"support": 3, "shopper": 1})


def test_sidecars_that_come_change_no_bundle_without_such_a_limit() -> None:
    found = worlds.settled(worlds.world())
    assert not reconcile(_sidecars(found, support=3)).publish


def test_it_rises_at_once() -> None:
    """Too small a number would let everybody spend too much."""
    found = worlds.settled(_sidecars(worlds.world(policies=(LOCAL,)), support=1))
    risen = worlds.settled(_sidecars(found, support=4))
    assert _roster(risen) == payloads.Roster(sidecars=4, agents={"support": 4})


def test_it_falls_by_half_when_the_last_number_has_stood_for_a_while() -> None:
    """A store that was just emptied knows nobody."""
    found = _sidecars(
        worlds.settled(_sidecars(worlds.world(policies=(LOCAL,)), support=8)), support=1
    )
    plan = reconcile(found)
    assert not plan.publish
    assert plan.look_again_at == worlds.NOON + REST
    numbers = []
    for _ in range(4):
        found = worlds.settled(worlds.later(found, REST))
        numbers.append(_roster(found).sidecars)
    assert numbers == [4, 2, 1, 1]
    assert reconcile(found).look_again_at is None


def test_an_agent_that_is_gone_leaves_it() -> None:
    found = worlds.settled(_sidecars(worlds.world(policies=(LOCAL,)), support=1, shopper=1))
    gone = worlds.settled(worlds.later(_sidecars(found, support=1), REST))
    assert _roster(gone) == payloads.Roster(sidecars=1, agents={"support": 1})


def test_it_stands_while_nobody_can_be_heard() -> None:
    found = worlds.settled(_sidecars(worlds.world(policies=(LOCAL,)), support=3))
    emptied = replace(found, published=Published(), now=found.now + 3 * REST)
    lost = replace(found, store=StoreState.LOST, published=None, now=found.now + 3 * REST)
    assert _roster(worlds.settled(emptied)).sidecars == 3
    assert _roster(worlds.settled(lost)).sidecars == 3


def test_without_redis_nobody_is_counted() -> None:
    world = worlds.world(policies=(LOCAL,), store=StoreState.NONE, published=None)
    assert _roster(worlds.settled(world)) == payloads.Roster()


def test_made_up_agents_do_not_fill_the_bundle() -> None:
    many = {f"agent{at}": 1 for at in range(MAXIMUM_AGENTS * 2)}
    found = worlds.settled(_sidecars(worlds.world(policies=(LOCAL,)), support=2, **many))
    assert len(_roster(found).agents) == MAXIMUM_AGENTS
    assert _roster(found).agents["support"] == 2
    assert worlds.is_empty(reconcile(found))
