"""May this pod be, and what becomes of it: the outcome of injection as an answer.

Pure: no clock, no network, no logging.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import assert_never

from mesh7_core.injection import inject, outcomes, patches
from mesh7_core.injection.inject import Cluster
from mesh7_operator.injector import reviews
from mesh7_operator.injector.given import Given
from mesh7_operator.injector.reviews import Cause, Review, Verdict
from mesh7_operator.injector.surroundings import Surroundings


@dataclass(frozen=True, slots=True)
class Judged:
    """The answer, and for whoever counts: what it was, and why.

    Attributes:
        outcome: `injected`, `skipped` or `refused`.
        reason: the level, or the word of the skip or refusal.
        patch_bytes: 0 = nothing is changed.
    """

    verdict: Verdict
    outcome: str
    reason: str
    patch_bytes: int = 0


def judge(review: Review, given: Given, around: Surroundings) -> Judged:
    """What becomes of a new pod."""
    cluster = Cluster(
        trust_key=given.trust_key,
        authorities=given.authorities,
        api_server=given.api_server,
        sources=around.sources,
        has_network_policy=around.has_network_policy,
    )
    pod = review.value
    found = inject.inject(
        pod, around.namespace, given.settings, cluster, is_nodes=review.maker.is_node
    )
    match found:
        case outcomes.Injected():
            return _injected(pod, found)
        case outcomes.Skipped():
            return Judged(reviews.Allowed(warnings=found.warnings), "skipped", found.reason.value)
        case outcomes.Refused():
            return Judged(_refusal(found), "refused", found.reason.value)
    assert_never(found)


def _injected(pod: Mapping[str, object], found: outcomes.Injected) -> Judged:
    patch = patches.difference(pod, found.pod)
    verdict = reviews.Allowed(warnings=found.warnings, patch=patch)
    patch_bytes = len(json.dumps(patch)) if patch else 0
    return Judged(verdict, "injected", found.level.value, patch_bytes)


def _refusal(found: outcomes.Refused) -> Verdict:
    return reviews.not_allowed(
        *(
            Cause(path=one.path, message=one.message, code=one.reason.value)
            for one in found.problems
        )
    )
