"""What the operator's client is promised by every API server, the real one and our fake.

Each claim is a test: `test_contract.py` puts them to the fake, `e2e/api/test_api_contract.py` to a
real one. Left out is what the fake does not do: validation, server-side apply, rights, finalizers.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import pytest

from mesh7_core import names
from mesh7_operator import metrics
from mesh7_operator.cluster import api_server, resources, shapes
from mesh7_operator.cluster.api_server import ApiServer
from mesh7_operator.cluster.connection import Connection
from mesh7_operator.cluster.resources import Resource
from mesh7_operator.controller.informer import seen
from mesh7_operator.controller.informer.watching import Watch

PATIENCE_S: Final = 30.0
POLICIES: Final = resources.AGENT_POLICIES
MAPS: Final = resources.CONFIG_MAPS
_CONDITION: Final = {
    "type": "Accepted", "status": "True", "reason": "Valid", "message": "it compiles",
    "lastTransitionTime": "2026-11-21T09:00:00Z",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """An API server with our kinds, and a namespace of the test's own."""

    connection: Connection
    api: ApiServer
    namespace: str

    async def make(self, resource: Resource, name: str, **content: object) -> shapes.Object:
        """An object; a policy without content is a whole one."""
        return await self.api.create(resource, self.namespace, _manifest(resource, name, content))

    async def get(self, resource: Resource, name: str) -> shapes.Object:
        """The object as it is now."""
        return await self.api.get(resource, self.namespace, name)


Claim = Callable[[Asked], Awaitable[None]]


def _manifest(resource: Resource, name: str, content: shapes.Object) -> dict[str, object]:
    spec = {
        "selector": {},
        "rules": [{"name": "only", "tools": ["billing.*"], "action": "Allow"}],
    }
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": {"name": name},
        **({"spec": spec} if resource is POLICIES else {}),
        **content,
    }


def _metadata(value: shapes.Object, key: str) -> str:
    return shapes.text(value, "metadata", key)


def _generation(value: shapes.Object) -> int:
    return shapes.number(value, "metadata", "generation")


async def what_is_created_can_be_read(there: Asked) -> None:
    for resource, content in ((MAPS, {"data": {"a": "1"}}), (POLICIES, {})):
        made = await there.make(resource, "one", **content)
        assert await there.get(resource, "one") == made
        assert (made["apiVersion"], made["kind"]) == (resource.api_version, resource.kind)
        assert _metadata(made, "namespace") == there.namespace
        assert _metadata(made, "uid")
        assert seen.revision(made) > 0
        assert _metadata(made, "creationTimestamp").endswith("Z")
    assert shapes.mapping(await there.get(MAPS, "one"), "data") == {"a": "1"}


async def nothing_is_created_twice(there: Asked) -> None:
    first = await there.make(MAPS, "one")
    with pytest.raises(api_server.Conflict, match=r'configmaps "one" already exists$'):
        await there.make(MAPS, "one")
    assert await there.get(MAPS, "one") == first


async def nothing_is_created_where_no_namespace_is(there: Asked) -> None:
    absent = f"{there.namespace}-absent"
    with pytest.raises(api_server.NotFound, match=f'namespaces "{absent}" not found$'):
        await there.api.create(MAPS, absent, _manifest(MAPS, "one", {}))


async def a_name_is_made_up_when_asked_for(there: Asked) -> None:
    about = {"metadata": {"generateName": "one-"}}
    first, second = [await there.make(MAPS, "", **about) for _ in range(2)]
    found = [_metadata(one, "name") for one in (first, second)]
    assert all(name.startswith("one-") and len(name) > len("one-") for name in found)
    assert found[0] != found[1]


async def versions_grow_with_each_write_and_uids_are_never_used_again(there: Asked) -> None:
    made = await there.make(MAPS, "one")
    changed = await there.api.merge(MAPS, there.namespace, "one", {"data": {"a": "1"}})
    other = await there.make(POLICIES, "one")
    await there.api.delete(MAPS, there.namespace, "one")
    again = await there.make(MAPS, "one")
    revisions = [seen.revision(one) for one in (made, changed, other, again)]
    assert revisions == sorted(set(revisions))
    assert _metadata(made, "uid") == _metadata(changed, "uid") != _metadata(again, "uid")


async def a_write_that_changes_nothing_is_none(there: Asked) -> None:
    made = await there.make(POLICIES, "one", metadata={"name": "one", "labels": {"a": "1"}})
    patch = {"metadata": {"labels": {"a": "1", "absent": None}}}
    same = await there.api.merge(POLICIES, there.namespace, "one", patch)
    assert _metadata(same, "resourceVersion") == _metadata(made, "resourceVersion")


async def a_merge_sets_changes_and_removes(there: Asked) -> None:
    await there.make(MAPS, "one", data={"kept": "1", "changed": "1", "removed": "1"})
    patch = {"data": {"changed": "2", "removed": None, "new": "1"}}
    answer = await there.api.merge(MAPS, there.namespace, "one", patch)
    assert answer["data"] == {"kept": "1", "changed": "2", "new": "1"}
    assert await there.get(MAPS, "one") == answer
    gone = await there.api.merge(MAPS, there.namespace, "one", {"data": None})
    assert shapes.mapping(gone, "data") == {}


async def a_merge_of_an_old_version_is_a_conflict(there: Asked) -> None:
    made = await there.make(MAPS, "one")
    await there.api.merge(MAPS, there.namespace, "one", {"data": {"a": "1"}})
    old = {"metadata": {"resourceVersion": _metadata(made, "resourceVersion")}}
    with pytest.raises(api_server.Conflict):
        await there.api.merge(MAPS, there.namespace, "one", {**old, "data": {"a": "2"}})
    assert shapes.texts(await there.get(MAPS, "one"), "data") == {"a": "1"}


async def a_replacement_needs_the_version_that_it_replaces(there: Asked) -> None:
    lease = resources.LEASES
    made = await there.make(lease, "one", spec={"holderIdentity": "a"})
    taken = {**made, "spec": {"holderIdentity": "b"}}
    answer = await there.api.replace(lease, there.namespace, "one", taken)
    assert shapes.text(answer, "spec", "holderIdentity") == "b"
    assert seen.revision(answer) > seen.revision(made)
    with pytest.raises(api_server.Conflict):
        await there.api.replace(lease, there.namespace, "one", taken)
    blind = _manifest(lease, "one", {"spec": {"holderIdentity": "c"}})
    with pytest.raises(api_server.Invalid):
        await there.api.replace(lease, there.namespace, "one", blind)
    assert await there.get(lease, "one") == answer


async def a_replacement_removes_what_it_leaves_out(there: Asked) -> None:
    secrets = resources.SECRETS
    made = await there.make(secrets, "one", data={"a": "MQ==", "b": "MQ=="})
    await there.api.replace(secrets, there.namespace, "one", {**made, "data": {"b": "Mg=="}})
    assert (await there.get(secrets, "one"))["data"] == {"b": "Mg=="}


async def a_replacement_of_what_is_gone_is_not_found(there: Asked) -> None:
    manifest = _manifest(MAPS, "one", {})
    with pytest.raises(api_server.NotFound):
        await there.api.replace(MAPS, there.namespace, "one", manifest)


async def the_generation_counts_changes_of_the_spec_alone(there: Asked) -> None:
    made = await there.make(POLICIES, "one")
    uid = _metadata(made, "uid")
    labels = {"metadata": {"labels": {"a": "1"}}}
    labelled = await there.api.merge(POLICIES, there.namespace, "one", labels)
    told = await there.api.set_status(
        POLICIES, there.namespace, "one", uid, {"conditions": [_CONDITION]}
    )
    audited = {"spec": {"mode": "Audit"}}
    changed = await there.api.merge(POLICIES, there.namespace, "one", audited)
    assert [_generation(one) for one in (made, labelled, told, changed)] == [1, 1, 1, 2]
    assert _generation(await there.make(MAPS, "one")) == 0


async def a_status_is_set_by_its_subresource_alone(there: Asked) -> None:
    status = {"conditions": [_CONDITION]}
    made = await there.make(POLICIES, "one", status=status)
    uid = _metadata(made, "uid")
    assert "status" not in made
    merged = await there.api.merge(POLICIES, there.namespace, "one", {"status": status})
    assert "status" not in merged
    told = await there.api.set_status(POLICIES, there.namespace, "one", uid, status)
    assert (told["status"], told["spec"]) == (status, made["spec"])
    assert seen.revision(told) > seen.revision(made)
    labels = {"metadata": {"labels": {"a": "1"}}}
    labelled = await there.api.merge(POLICIES, there.namespace, "one", labels)
    replaced = await there.api.replace(
        POLICIES, there.namespace, "one", {**labelled, "status": {}, "spec": made["spec"]}
    )
    assert (labelled["status"], replaced["status"]) == (status, status)


async def a_status_is_set_as_a_whole(there: Asked) -> None:
    uid = _metadata(await there.make(POLICIES, "one"), "uid")
    for status in ({"conditions": [_CONDITION]}, {"observedGeneration": 1}):
        told = await there.api.set_status(POLICIES, there.namespace, "one", uid, status)
        assert told["status"] == status


async def a_status_is_set_of_this_very_object(there: Asked) -> None:
    with pytest.raises(api_server.NotFound):
        await there.api.set_status(POLICIES, there.namespace, "one", "other", {})
    await there.make(POLICIES, "one")
    with pytest.raises(api_server.Invalid) as caught:
        await there.api.set_status(POLICIES, there.namespace, "one", "other", {})
    assert caught.value.is_failed_test, caught.value.message
    assert "status" not in await there.get(POLICIES, "one")


async def what_is_deleted_is_gone(there: Asked) -> None:
    await there.make(POLICIES, "one")
    await there.api.delete(POLICIES, there.namespace, "one")
    said = 'agentpolicies.mesh7.dev "one" not found'
    with pytest.raises(api_server.NotFound) as caught:
        await there.get(POLICIES, "one")
    assert caught.value.message == f"get AgentPolicy `{there.namespace}/one`: {said}"
    with pytest.raises(api_server.NotFound, match=f"{said}$"):
        await there.api.merge(POLICIES, there.namespace, "one", {"metadata": {"labels": {}}})
    await there.api.delete(POLICIES, there.namespace, "one")


async def the_one_that_is_meant_is_deleted_and_no_other(there: Asked) -> None:
    made = await there.make(POLICIES, "one")
    with pytest.raises(api_server.Conflict):
        await there.api.delete(POLICIES, there.namespace, "one", "another-uid")
    assert await there.get(POLICIES, "one") == made
    await there.api.delete(POLICIES, there.namespace, "one", _metadata(made, "uid"))
    await there.api.delete(POLICIES, there.namespace, "one", _metadata(made, "uid"))
    with pytest.raises(api_server.NotFound):
        await there.get(POLICIES, "one")


async def metadata_of_one_are_read_alone(there: Asked) -> None:
    made = await there.make(MAPS, "one", data={"a": "b"})
    found = await there.api.get_metadata(MAPS, there.namespace, "one")
    assert (found["metadata"], found.get("data")) == (made["metadata"], None)
    listed = there.api.list_metadata_remembered(MAPS, there.namespace)
    assert [one.get("data") async for one in listed if _metadata(one, "name") == "one"] == [None]


async def what_is_not_served_is_not_found(there: Asked) -> None:
    absent = Resource(group=names.GROUP, version=names.VERSION, plural="absents", kind="Absent")
    with pytest.raises(api_server.NotFound):
        await there.get(absent, "one")
    with pytest.raises(api_server.NotFound):
        assert [one async for one in there.api.list(absent)] == []


async def a_list_is_of_one_namespace_or_of_all(there: Asked) -> None:
    for name in ("two", "one"):
        await there.make(POLICIES, name)
    here = [item async for item in there.api.list(POLICIES, there.namespace)]
    assert here == [await there.get(POLICIES, name) for name in ("one", "two")]
    everywhere = [item async for item in there.api.list(POLICIES)]
    assert [one for one in everywhere if _metadata(one, "namespace") == there.namespace] == here
    nowhere = there.api.list(POLICIES, f"{there.namespace}-absent")
    assert [item async for item in nowhere] == []


async def the_items_of_a_core_kind_do_not_say_their_kind(there: Asked) -> None:
    """The watch adds it; our own kinds say it."""
    for resource in (MAPS, POLICIES):
        await there.make(resource, "one")
    maps = [one async for one in there.api.list(MAPS, there.namespace)]
    assert {one.get("kind") for one in maps} == {None}
    policies = [one async for one in there.api.list(POLICIES, there.namespace)]
    assert [(one["apiVersion"], one["kind"]) for one in policies] == [
        (POLICIES.api_version, POLICIES.kind)
    ]


async def a_list_has_pages_of_one_moment(there: Asked) -> None:
    """What comes while pages are turned is on none of them; what goes stays."""
    expected = [f"map-{number:03}" for number in range(api_server.PAGE + 2)]
    await asyncio.gather(*[there.make(MAPS, name) for name in expected])
    found = []
    async for item in there.api.list(MAPS, there.namespace):
        found.append(_metadata(item, "name"))
        if len(found) == 1:
            await there.make(MAPS, "zulu")
            await there.api.delete(MAPS, there.namespace, expected[-1])
    # A real one puts the bundle of its own authority there.
    assert [name for name in found if name != "kube-root-ca.crt"] == expected


async def fields_select_what_is_listed(there: Asked) -> None:
    for name in ("one", "two"):
        await there.make(MAPS, name)
    one = there.api.list(MAPS, there.namespace, fields="metadata.name=one")
    assert [_metadata(item, "name") async for item in one] == ["one"]
    both = f"metadata.name=two,metadata.namespace={there.namespace}"
    everywhere = there.api.list(MAPS, fields=both)
    assert [_metadata(item, "name") async for item in everywhere] == ["two"]


async def metadata_are_listed_alone(there: Asked) -> None:
    made = await there.make(POLICIES, "one")
    fields = f"metadata.namespace={there.namespace}"
    (found,) = [item async for item in there.api.list_metadata(POLICIES, fields=fields)]
    assert "spec" not in found
    for key in ("name", "namespace", "uid", "resourceVersion"):
        assert _metadata(found, key) == _metadata(made, key)


async def a_watch_tells_what_was_there_what_comes_what_changes_and_what_goes(
    there: Asked,
) -> None:
    before = await there.make(POLICIES, "before")
    async with _watching(there) as told:
        first = await told.until(lambda one: bool(one.policies))
        assert [one.uid for one in first.policies] == [_metadata(before, "uid")]
        added = await there.make(POLICIES, "one")
        await told.until(lambda one: _versions(one) >= {_revision(before), _revision(added)})
        labels = {"metadata": {"labels": {"a": "1"}}}
        changed = await there.api.merge(POLICIES, there.namespace, "one", labels)
        told_of = {_revision(before), _revision(changed)}
        await told.until(lambda one: _versions(one) == told_of)
        uid = _metadata(added, "uid")
        status = {"conditions": [_CONDITION]}
        known = await there.api.set_status(POLICIES, there.namespace, "one", uid, status)
        snapshot = await told.until(lambda one: _revision(known) in _versions(one))
        (policy,) = [one.written for one in snapshot.policies if one.uid == uid]
        assert (policy.name, policy.generation, policy.status) == ("one", 1, status)
        await there.api.delete(POLICIES, there.namespace, "one")
        await told.until(lambda one: _versions(one) == {_revision(before)})


async def a_watch_of_one_name_tells_of_that_name_alone(there: Asked) -> None:
    """What is watched of ConfigMaps is `mesh7-bundle`; its deletion says its version."""
    async with _watching(there) as told:
        await there.make(MAPS, "another")
        made = await there.make(MAPS, names.BUNDLE_CONFIG_MAP)
        snapshot = await told.until(lambda one: bool(one.config_maps))
        assert [one.uid for one in snapshot.config_maps] == [_metadata(made, "uid")]
        await there.api.delete(MAPS, there.namespace, names.BUNDLE_CONFIG_MAP)
        last = await told.until(lambda one: not one.config_maps and one.deleted_revision > 0)
        assert last.deleted_revision > _revision(made)


def _revision(value: shapes.Object) -> int:
    return seen.revision(value)


def _versions(snapshot: seen.Snapshot) -> set[int]:
    return {one.revision for one in snapshot.policies}


class _Told:
    """What kopf's watch tells of one namespace."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        self._snapshots: asyncio.Queue[seen.Snapshot] = asyncio.Queue()

    def tell(self, snapshot: seen.Snapshot) -> None:
        if snapshot.name == self._namespace:
            self._snapshots.put_nowait(snapshot)

    def listed_anew(self, resource: Resource) -> None:
        pass

    def resumed(self, resource: Resource, since: int) -> None:
        pass

    def vanished(self) -> Iterable[str]:
        return ()

    async def until(self, claim: Callable[[seen.Snapshot], bool]) -> seen.Snapshot:
        async with asyncio.timeout(PATIENCE_S):
            while not claim(snapshot := await self._snapshots.get()):
                pass
        return snapshot


@asynccontextmanager
async def _watching(there: Asked) -> AsyncIterator[_Told]:
    told = _Told(there.namespace)
    watch = Watch(there.connection, told, metrics.ControllerMetrics(metrics.registry()))
    task = asyncio.create_task(watch.run())
    try:
        yield told
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


CLAIMS: Final[tuple[Claim, ...]] = (
    what_is_created_can_be_read,
    nothing_is_created_twice,
    nothing_is_created_where_no_namespace_is,
    a_name_is_made_up_when_asked_for,
    versions_grow_with_each_write_and_uids_are_never_used_again,
    a_write_that_changes_nothing_is_none,
    a_merge_sets_changes_and_removes,
    a_merge_of_an_old_version_is_a_conflict,
    a_replacement_needs_the_version_that_it_replaces,
    a_replacement_removes_what_it_leaves_out,
    a_replacement_of_what_is_gone_is_not_found,
    the_generation_counts_changes_of_the_spec_alone,
    a_status_is_set_by_its_subresource_alone,
    a_status_is_set_as_a_whole,
    a_status_is_set_of_this_very_object,
    what_is_deleted_is_gone,
    the_one_that_is_meant_is_deleted_and_no_other,
    metadata_of_one_are_read_alone,
    what_is_not_served_is_not_found,
    a_list_is_of_one_namespace_or_of_all,
    the_items_of_a_core_kind_do_not_say_their_kind,
    a_list_has_pages_of_one_moment,
    fields_select_what_is_listed,
    metadata_are_listed_alone,
    a_watch_tells_what_was_there_what_comes_what_changes_and_what_goes,
    a_watch_of_one_name_tells_of_that_name_alone,
)
