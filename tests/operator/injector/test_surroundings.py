"""What is asked about a pod's namespace: all at once, no more than the level needs, in time."""

import asyncio
from typing import Any

import pytest

from mesh7_core import errors
from mesh7_core.injection.inject import Namespace, Source
from mesh7_core.injection.outcomes import Level
from mesh7_operator.cluster import api_server, resources, shapes
from mesh7_operator.injector.surroundings import Surroundings, Surveyor
from tests.operator.injector import asked
from tests.operator.injector.asked import SHOP, Table

_POLICY = ("NetworkPolicy", SHOP, "mesh7-guarded")


def _table(**labels: str) -> Table:
    about = {"labels": labels, "annotations": {"mesh7.dev/bundle-floor": "7"}}
    return Table({
        ("Namespace", "", SHOP): {"metadata": about},
        ("ToolSource", SHOP, "billing"): asked.source(),
        ("ToolSource", SHOP, "shell"): asked.source("shell", cli={"binary": "sh"}),
        ("ToolSource", "other", "files"): asked.source("files"),
    })  # fmt: skip


async def test_a_namespace_is_read_with_its_sources() -> None:
    found = await Surveyor(_table(a="b")).survey(SHOP, Level.COOPERATIVE)
    assert found == Surroundings(
        namespace=Namespace(
            name=SHOP, labels={"a": "b"}, annotations={"mesh7.dev/bundle-floor": "7"}
        ),
        sources=(Source(name="billing", kind="mcp"),),
        has_network_policy=False,
    )


@pytest.mark.parametrize(
    ("label", "default", "is_asked"),
    [
        (None, Level.COOPERATIVE, False),
        (None, Level.GUARDED, True),
        ("Cooperative", Level.ENFORCED, False),
        ("Guarded", Level.COOPERATIVE, True),
        ("Enforced", Level.COOPERATIVE, True),
        ("guarded", Level.COOPERATIVE, False),
    ],
)
async def test_the_network_policy_is_asked_for_where_the_level_needs_it(
    label: str | None, default: Level, is_asked: bool
) -> None:
    table = _table(**({"mesh7.dev/enforcement": label} if label else {}))
    assert not (await Surveyor(table).survey(SHOP, default)).has_network_policy
    assert (_POLICY in table.asked) is is_asked
    table.found[_POLICY] = {}
    assert (await Surveyor(table).survey(SHOP, default)).has_network_policy is is_asked


@pytest.mark.parametrize("what", [("Namespace", "", SHOP), ("ToolSource", SHOP, "x"), _POLICY])
async def test_what_is_not_answered_is_no_answer(what: tuple[str, str, str]) -> None:
    table = _table(**{"mesh7.dev/enforcement": "Guarded"})
    table.found[what] = api_server.Unavailable("not answered")
    with pytest.raises(errors.ClusterError, match="not answered"):
        await Surveyor(table).survey(SHOP, Level.COOPERATIVE)


async def test_a_namespace_that_is_gone_is_no_answer() -> None:
    with pytest.raises(errors.ClusterError, match="not found"):
        await Surveyor(Table()).survey(SHOP, Level.COOPERATIVE)


async def test_an_api_server_that_never_answers_is_not_waited_for() -> None:
    class Never(Table):
        async def get(self, *_: object) -> Any:
            await asyncio.Event().wait()

    with pytest.raises(errors.ClusterError, match=r"did not answer in 0\.01 s"):
        await Surveyor(Never(), 0.01).survey(SHOP, Level.COOPERATIVE)


class _Held(Table):
    """An API server whose answers wait to be let go."""

    def __init__(self) -> None:
        super().__init__(_table().found)
        self.asking = asyncio.Event()
        self.may_answer = asyncio.Event()

    async def get(self, resource: resources.Resource, namespace: str, name: str) -> shapes.Object:
        found = await super().get(resource, namespace, name)
        self.asking.set()
        await self.may_answer.wait()
        return found


async def test_a_burst_of_pods_shares_an_answer_that_is_no_older_than_any_of_them() -> None:
    """The first one's is under way when the label comes; the others' is asked for after that."""
    table = _Held()
    surveyor = Surveyor(table)
    first = asyncio.create_task(surveyor.survey(SHOP, Level.COOPERATIVE))
    await table.asking.wait()
    about = {"labels": {"new": "yes"}}
    table.found["Namespace", "", SHOP] = {"metadata": about}
    others = [asyncio.create_task(surveyor.survey(SHOP, Level.COOPERATIVE)) for _ in range(100)]
    await asyncio.sleep(0)
    table.may_answer.set()
    assert (await first).namespace.labels == {}
    found = await asyncio.gather(*others)
    assert {one.namespace.labels.get("new") for one in found} == {"yes"}
    assert table.asked.count(("Namespace", "", SHOP)) == 2


async def test_a_namespace_that_is_not_answered_keeps_no_other_waiting() -> None:
    class Never(Table):
        async def get(
            self, resource: resources.Resource, namespace: str, name: str
        ) -> shapes.Object:
            if name == "stuck":
                await asyncio.Event().wait()
            return await super().get(resource, namespace, name)

    surveyor = Surveyor(Never(_table().found), 0.05)
    stuck = [asyncio.create_task(surveyor.survey("stuck", Level.GUARDED)) for _ in range(3)]
    await surveyor.survey(SHOP, Level.COOPERATIVE)
    answers = await asyncio.gather(*stuck, return_exceptions=True)
    assert [type(one) for one in answers] == [errors.ClusterError] * 3
