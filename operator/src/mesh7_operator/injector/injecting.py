"""The door for new pods: what is given, what is around them, then the pure verdict.

Whatever cannot be known in time is a refusal, with the word `unavailable` for a reason.
"""

import functools
import logging
from dataclasses import dataclass, field
from typing import Final

from mesh7_core import errors
from mesh7_operator.injector import pods, reviews
from mesh7_operator.injector.given import Files
from mesh7_operator.injector.measuring import InjectorMetrics
from mesh7_operator.injector.places import Places
from mesh7_operator.injector.reviews import Review, Verdict
from mesh7_operator.injector.surroundings import Surveyor
from mesh7_operator.injector.turns import Turns

JUDGING_S: Final = 2.0
"""With two seconds for the API server's answers it is less than that waits for ours."""
_MOST: Final = 256
"""As many as an API server has under way at once; controllers make pods in bursts."""
_FAILED: Final = "failed"
_LOG: Final = logging.getLogger(__name__)


def places() -> Places:
    """Those of new pods."""
    return Places(_MOST)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What it works with, all of its own: policies that take long must keep no pod waiting.

    Attributes:
        turns: where pods are judged; the event loop goes on answering probes.
    """

    files: Files
    surveyor: Surveyor
    turns: Turns
    metrics: InjectorMetrics
    places: Places = field(default_factory=places)
    judging_s: float = JUDGING_S


class Injecting:
    """Guards pods, leaves them alone, or refuses them."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def verdict(self, review: Review) -> Verdict:
        """The answer; counted where a pod is going to be stored."""
        outcome, reason, patch_bytes = _FAILED, "crashed", 0
        try:
            judged = await self._judged(review)
            outcome, reason = judged.outcome, judged.reason
            patch_bytes = judged.patch_bytes
        except errors.ClusterError as error:
            reason = "unavailable"
            _LOG.warning(
                "a pod cannot be judged",
                extra={"namespace": review.namespace, "error": error.message},
            )
            return reviews.unavailable(f"unavailable: {error.message}; try again")
        finally:
            if not review.is_dry_run:
                self._parts.metrics.injected(outcome, reason, patch_bytes)
        return judged.verdict

    async def _judged(self, review: Review) -> pods.Judged:
        parts = self._parts
        given = parts.files.given
        if given is None:
            raise errors.ClusterError(
                "the injector has not yet been given all that pods need; its log says what"
            )
        around = await parts.surveyor.survey(review.namespace, given.settings.default_level)
        judge = functools.partial(pods.judge, review, given, around)
        return await parts.turns.run(review.namespace, judge, parts.judging_s)
