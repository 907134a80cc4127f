"""What holds of every pod, well made or mangled."""

import copy
import json
import time
from typing import Any

import jsonpatch
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh7_core import names
from mesh7_core.injection import patches
from mesh7_core.injection.inject import inject
from mesh7_core.injection.outcomes import Injected, Level, Refused, Skipped
from tests.core.injection import goldens, parts

_PODS = [dict(goldens.case(name).pod) for name in goldens.CASES]
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 99_999) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
_LEVELS = st.sampled_from([None, *Level])


def _places(value: object, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where something stands in it, itself first."""
    found = [path]
    if isinstance(value, dict):
        found += [place for key, one in value.items() for place in _places(one, (*path, key))]
    elif isinstance(value, list):
        found += [place for key, one in enumerate(value) for place in _places(one, (*path, key))]
    return found


@st.composite
def _mangled(draw: st.DrawFn) -> dict[str, object]:
    """A golden pod with some places made something else, or taken away."""
    pod = copy.deepcopy(draw(st.sampled_from(_PODS)))
    for _ in range(draw(st.integers(1, 4))):
        *path, last = draw(st.sampled_from(_places(pod)[1:] or [("spec",)]))
        inner: Any = pod
        for step in path:
            inner = inner[step]
        if draw(st.booleans()):
            inner[last] = draw(_JSON)
        elif isinstance(inner, dict):
            inner.pop(last, None)
    return pod


@pytest.mark.promise("K5")
@given(pod=_mangled(), level=_LEVELS)
def test_every_pod_is_guarded_left_alone_or_refused(pod: dict[str, object], level: str) -> None:
    """Never an exception; and what is guarded stays as it is."""
    place = parts.namespace(level=level)

    found = inject(pod, place, parts.RELEASE, parts.CLUSTER)

    match found:
        case Injected(pod=out):
            again = inject(out, place, parts.RELEASE, parts.CLUSTER)
            assert isinstance(again, Injected)
            assert json.dumps(again.pod) == json.dumps(out)
        case Refused(problems=problems):
            assert problems
            assert all(one.message for one in problems)
        case Skipped():
            pass


@given(pod=_JSON)
def test_a_value_that_is_no_pod_at_all_is_refused(pod: Any) -> None:
    assert not isinstance(inject(pod, parts.namespace(), parts.RELEASE, parts.CLUSTER), Injected)


@given(before=st.dictionaries(st.text(), _JSON), after=st.dictionaries(st.text(), _JSON))
def test_a_patch_makes_one_value_the_other(before: Any, after: Any) -> None:
    """RFC 6902, by somebody else's applier."""
    patch = patches.difference(before, after)

    assert _same(jsonpatch.apply_patch(copy.deepcopy(before), list(patch)), after)


@given(pod=_mangled(), other=_mangled())
def test_a_patch_makes_one_pod_another(pod: Any, other: Any) -> None:
    patch = patches.difference(pod, other)

    assert _same(jsonpatch.apply_patch(copy.deepcopy(pod), list(patch)), other)


@given(value=st.dictionaries(st.text(), _JSON))
def test_what_is_equal_needs_no_patch(value: Any) -> None:
    assert patches.difference(value, copy.deepcopy(value)) == ()


@pytest.mark.parametrize("name", [one for one in goldens.CASES if one != goldens.DEFAULT])
def test_the_patch_of_a_golden_pod_makes_it_what_it_should_be(name: str) -> None:
    case = goldens.case(name)
    found = case.outcome()
    if isinstance(found, Injected):
        patch = patches.difference(case.pod, found.pod)
        made = jsonpatch.apply_patch(copy.deepcopy(dict(case.pod)), list(patch))
        assert _same(made, found.pod)


def test_a_container_before_others_is_one_operation() -> None:
    before = {"spec": {"initContainers": [{"name": "a", "image": "a"}, {"name": "b"}]}}
    after = {
        "spec": {
            "initContainers": [
                {"name": "mesh7"},
                {"name": "a", "image": "a", "env": []},
                {"name": "b"},
            ]
        }
    }
    assert patches.difference(before, after) == (
        {"op": "add", "path": "/spec/initContainers/0", "value": {"name": "mesh7"}},
        {"op": "add", "path": "/spec/initContainers/1/env", "value": []},
    )


def test_a_key_with_a_slash_and_a_tilde_is_written_as_the_pointer_wants() -> None:
    assert patches.difference({}, {"mesh7.dev/a~b": 1}) == (
        {"op": "add", "path": "/mesh7.dev~1a~0b", "value": 1},
    )


def test_true_is_not_one() -> None:
    assert patches.difference({"a": True}, {"a": 1}) == (
        {"op": "replace", "path": "/a", "value": 1},
    )


def test_a_pod_of_two_megabytes_is_patched_in_good_time_and_little() -> None:
    """Issue 6: the API server waits five seconds for us and for whoever else is asked."""
    containers = [
        {
            **parts.AGENT,
            "name": f"agent-{index}",
            "env": [{"name": f"V{one}", "value": "x" * 200} for one in range(400)],
        }
        for index in range(20)
    ]
    pod = parts.pod(*containers, annotations={"note": "y" * 200_000})
    assert len(json.dumps(pod)) > 2_000_000

    begun = time.thread_time()
    found = inject(pod, parts.namespace(), parts.RELEASE, parts.CLUSTER)
    patch = patches.difference(pod, parts.guarded(found))

    assert time.thread_time() - begun < 2
    assert len(json.dumps(patch)) < 20_000


def test_sixty_thousand_variables_of_one_name_are_patched_in_good_time() -> None:
    """780 KB of a pod that anybody may send; in quadratic time they kept a thread for minutes."""
    pod = parts.pod({**parts.AGENT, "env": [{"name": "A"}] * 60_000})

    begun = time.thread_time()
    found = inject(pod, parts.namespace(), parts.RELEASE, parts.CLUSTER)
    patch = patches.difference(pod, parts.guarded(found))

    assert time.thread_time() - begun < 2
    assert len(json.dumps(patch)) < 20_000


@pytest.mark.parametrize("names", [["A"], ["A", "B"], [str(one) for one in range(9_000)]])
def test_no_two_lists_take_quadratic_time(names: list[str]) -> None:
    before = {"env": [{"name": one} for one in names * (27_000 // len(names))]}
    after = {"env": [{"name": "C"}, *reversed(before["env"]), {"name": "C"}]}

    begun = time.thread_time()
    patches.difference(before, after)

    assert time.thread_time() - begun < 2


@given(names=st.lists(st.sampled_from("ABCD")), others=st.lists(st.sampled_from("ABCD")))
def test_a_patch_makes_one_list_another_whatever_is_in_it_twice(
    names: list[str], others: list[str]
) -> None:
    before = {"env": [{"name": one, "value": number} for number, one in enumerate(names)]}
    after = {"env": [{"name": one, "value": -number} for number, one in enumerate(others)]}

    patch = patches.difference(before, after)

    assert jsonpatch.apply_patch(copy.deepcopy(before), list(patch)) == after


def test_a_thousand_operations_on_one_list_are_made_in_good_time() -> None:
    before = {"env": [{"name": f"A{one}", "value": "1"} for one in range(5000)]}
    after = {"env": [{"name": f"B{one}"} for one in range(5000)]}

    begun = time.thread_time()
    patches.difference(before, after)

    assert time.thread_time() - begun < 2


def test_names_of_ours_are_the_ones_that_others_see() -> None:
    """What a VAP or `kubectl mesh7 status` looks for is what is written."""
    pod = parts.guarded(inject(parts.pod(), parts.namespace(), parts.RELEASE, parts.CLUSTER))
    metadata: Any = pod["metadata"]

    assert metadata["labels"] == {names.INJECTED_LABEL: "true"}
    assert json.loads(metadata["annotations"][names.INJECTION_ANNOTATION]) == {
        "image": parts.RELEASE.image,
        "level": "Cooperative",
        "release": names.RELEASE,
    }


def _same(one: object, other: object) -> bool:
    """As JSON has it: order of keys aside, and true is not 1."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
