"""What `kubectl apply` drops is refused, as its annotation still says it (custom-resources.md)."""

import json
from typing import Any

import pytest

from mesh7_core.api import mistakes
from mesh7_operator.injector import applied, judging, reviews
from mesh7_operator.injector.reviews import Cause
from tests.operator.injector import asked
from tests.operator.injector.asked import RELEASE

Object = dict[str, Any]
RULE: Object = {"name": "all", "tools": ["billing.*"], "action": "Allow"}
WHEN = Cause(path="spec.rules[0].when", message=mistakes.NO_VALUE)


def _rules(*rules: Object) -> Object:
    return asked.policy(rules=list(rules))


def _applied(written: Object, stored: Object) -> Object:
    return _annotated(stored, json.dumps(written) + "\n")


def _annotated(stored: Object, text: object) -> Object:
    annotations = {applied.ANNOTATION: text}
    return {**stored, "metadata": {**stored["metadata"], "annotations": annotations}}


UNFINISHED = _rules({**RULE, "when": None})
DROPPED = _applied(UNFINISHED, _rules(RULE))


def test_an_unfinished_condition_is_refused_though_kubectl_dropped_it() -> None:
    verdict = judging.judge(asked.review(DROPPED), RELEASE)
    assert verdict == reviews.invalid(WHEN)


def test_every_key_without_a_value_is_named() -> None:
    rules = [RULE, {"name": "some", "tools": ["git.push"], "when": None, "action": "Deny"}]
    written = asked.policy(mode=None, selector={"matchLabels": {"app": None}}, rules=rules)
    stored = asked.policy(
        mode="Enforce", selector={"matchLabels": {}}, rules=[RULE, {**RULE, "name": "some"}]
    )
    found = applied.unfinished(asked.review(_applied(written, stored)))
    # What the schema filled in is no longer without a value.
    assert [one.path for one in found] == ["spec.selector.matchLabels.app", "spec.rules[1].when"]


def test_an_update_that_leaves_a_condition_unfinished_is_refused() -> None:
    """Whether the key was there before or not: the object's spec may even stay as it is."""
    for before in (_rules({**RULE, "when": "args.amount < 5"}), _rules(RULE)):
        assert judging.judge(asked.review(DROPPED, before=before), RELEASE) == reviews.invalid(WHEN)


def test_what_was_stored_unfinished_is_not_stuck() -> None:
    """Finalizers and labels come and go, whatever later rules refuse."""
    labelled = {**DROPPED, "metadata": {**DROPPED["metadata"], "labels": {"a": "1"}}}
    assert judging.judge(asked.review(labelled, before=DROPPED), RELEASE) == reviews.Allowed()


def test_what_was_stored_unfinished_is_refused_when_its_spec_changes() -> None:
    changed = {**DROPPED, "spec": {**DROPPED["spec"], "mode": "Audit"}}
    verdict = judging.judge(asked.review(changed, before=DROPPED), RELEASE)
    assert verdict == reviews.invalid(WHEN)


@pytest.mark.parametrize(
    "value",
    [
        _applied(_rules(RULE), _rules(RULE)),
        _applied({**UNFINISHED, "kind": "Grant"}, _rules(RULE)),
        _applied({**UNFINISHED, "metadata": {"name": "another"}}, _rules(RULE)),
        _applied({**UNFINISHED, "metadata": None, "spec": 7}, _rules(RULE)),
        _applied(UNFINISHED, _rules({**RULE, "when": "args.amount < 5"})),
        _annotated(_rules(RULE), "{"),
        _annotated(_rules(RULE), "[]"),
        _annotated(_rules(RULE), '{"kind": "\\ud800"}'),
        _annotated(_rules(RULE), 7),
        {**_rules(RULE), "metadata": {**_rules(RULE)["metadata"], "annotations": 7}},
    ],
)
def test_an_annotation_that_says_nothing_of_the_object_is_ignored(value: Object) -> None:
    assert applied.unfinished(asked.review(value)) == ()
