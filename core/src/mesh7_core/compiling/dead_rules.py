"""Rules that can never speak: everything they name is spoken for by earlier rules.

Pure: no clock, no network, no logging.
"""

import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mesh7_core.policy.calls import Family
from mesh7_core.policy.globs import NameGlob
from mesh7_core.policy.rules import Rule

MOST_STEPS: Final = 120_000
"""Of one policy: characters of globs that are compared, and places looked at. An ordinary policy
of ten thousand rules stays within it; what takes more was made to take long."""
_COMPARISON: Final = 16
"""Steps that a comparison costs beside its characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dead:
    """A rule that can never speak.

    Attributes:
        position: the rule's, from 0.
        covered_by: position of the rule that speaks for its first glob.
    """

    position: int
    covered_by: int


class _Spoken:
    """Globs of rules that always speak, found by what all their matches begin and end with.

    If one glob covers another, its literal beginning and end are those of the other, cut. So few
    have to be compared, and ten thousand rules do not cost ten thousand times ten thousand.
    """

    def __init__(self, purse: "_Purse") -> None:
        self._purse = purse
        self._same: dict[str, int] = {}
        self._by_ends: dict[tuple[str, str], list[tuple[NameGlob, int]]] = {}
        self._lengths: list[tuple[int, int]] = []

    def add(self, glob: NameGlob, position: int) -> None:
        if glob.text in self._same:
            return
        self._same[glob.text] = position
        if glob.is_exact or self._purse.is_empty:
            return
        prefix, suffix = glob.literal_prefix, _literal_suffix(glob)
        self._by_ends.setdefault((prefix, suffix), []).append((glob, position))
        lengths = (len(prefix), len(suffix))
        at = bisect.bisect_left(self._lengths, lengths)
        if self._lengths[at : at + 1] != [lengths]:
            self._lengths.insert(at, lengths)

    def covering(self, glob: NameGlob) -> int | None:
        """The position of a rule that speaks for all that the glob matches.

        In the order of lengths, so that a message names the same rule each time; and when there
        are no steps left, only the same text is looked for.
        """
        if self._purse.is_empty:
            return self._same.get(glob.text)
        prefix, suffix = glob.literal_prefix, _literal_suffix(glob)
        for head, tail in self._lengths:
            if head > len(prefix) or not self._purse.take(1):
                break
            if tail > len(suffix):
                continue
            key = (prefix[:head], suffix[len(suffix) - tail :])
            for candidate, position in self._by_ends.get(key, ()):
                if not self._purse.take(_COMPARISON + len(candidate.text) + len(glob.text)):
                    break
                if candidate.covers(glob):
                    return position
        return self._same.get(glob.text)


class _Purse:
    """The steps that are left."""

    def __init__(self, steps: int) -> None:
        self._steps = steps

    def take(self, steps: int) -> bool:
        """Whether so many were left; once there were not, there is none any more."""
        self._steps = self._steps - steps if self._steps >= steps else 0
        return self._steps > 0

    @property
    def is_empty(self) -> bool:
        return self._steps == 0


def find_dead(rules: Sequence[Rule], is_enforcing: Sequence[bool]) -> list[Dead]:
    """Rules all of whose globs are covered by earlier enforcing rules without a condition.

    Sound: what is called dead is dead. A rule that is dead for a reason deeper than its globs
    (two that cover it only together) is not found; nor, after `MOST_STEPS`, one that is covered by
    other globs than its own.

    Args:
        rules: of one policy, in written order.
        is_enforcing: per rule, whether its own mode lets it speak.
    """
    purse = _Purse(MOST_STEPS)
    spoken = {family: _Spoken(purse) for family in Family}
    dead = []
    for position, (rule, speaks) in enumerate(zip(rules, is_enforcing, strict=True)):
        known = spoken[rule.family]
        covered = [known.covering(glob) for glob in rule.patterns]
        if covered and covered[0] is not None and None not in covered:
            dead.append(Dead(position=position, covered_by=covered[0]))
        elif speaks and rule.condition is None:
            for glob in rule.patterns:
                known.add(glob, position)
    return dead


def _literal_suffix(glob: NameGlob) -> str:
    text = glob.text
    return text[max(text.rfind("*"), text.rfind("?")) + 1 :]
