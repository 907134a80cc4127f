"""Pods that are small to write and would be large to make."""

import time

import pytest

from mesh7_core.injection import bounds
from mesh7_core.injection.inject import Cluster, Source, inject
from mesh7_core.injection.outcomes import Injected, Outcome
from tests.core.injection import parts


def _crowd(containers: int, sources: int) -> Outcome:
    pod = parts.pod(*({"name": f"c{one}"} for one in range(containers)))
    told = tuple(Source(name=f"s{one}", kind="mcp") for one in range(sources))
    cluster = Cluster(trust_key="a2V5", authorities="PEM", sources=told)
    return inject(pod, parts.namespace(), parts.RELEASE, cluster)


def test_five_thousand_containers_times_a_thousand_sources_are_refused_at_once() -> None:
    """84 KB of a pod, of which 374 MB of a patch were made."""
    begun = time.thread_time()

    assert parts.told(_crowd(5_000, 1_000)) == [("too-large", "spec")]
    assert time.thread_time() - begun < 2


@pytest.mark.parametrize(("containers", "sources"), [(100, 1_000), (1, 20_000)])
def test_variables_of_more_than_a_mebibyte_are_refused(containers: int, sources: int) -> None:
    """The API server would store no such pod."""
    assert parts.told(_crowd(containers, sources)) == [("too-large", "spec")]


@pytest.mark.parametrize(("containers", "sources"), [(bounds.MOST_CONTAINERS, 40), (10, 1_000)])
def test_a_crowd_within_bounds_is_guarded(containers: int, sources: int) -> None:
    assert isinstance(_crowd(containers, sources), Injected)


def test_names_that_occur_twice_are_refused_as_the_api_server_would() -> None:
    """Whatever they are names of; containers of every kind share them."""
    pod = parts.pod(
        parts.AGENT,
        {"name": "other"},
        parts.AGENT,
        initContainers=[{"name": "other"}],
        volumes=[{"name": "files"}, {"name": "files"}],
    )
    found = inject(pod, parts.namespace(), parts.RELEASE, parts.CLUSTER)
    assert parts.told(found) == [
        ("not-a-pod", "spec.containers[1].name"),
        ("not-a-pod", "spec.containers[2].name"),
        ("not-a-pod", "spec.volumes[1].name"),
    ]
