"""Rules that can never speak: everything they name is spoken for by earlier rules.

Pure: no clock, no network, no logging.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from mesh7_core.policy.calls import Family
from mesh7_core.policy.globs import NameGlob
from mesh7_core.policy.rules import Rule


@dataclass(frozen=True, slots=True, kw_only=True)
class Dead:
    """A rule that can never speak.

    Attributes:
        position: the rule's, from 0.
        covered_by: position of the rule that speaks for its first glob.
    """

    position: int
    covered_by: int


@dataclass(slots=True)
class _Spoken:
    """Globs of rules that always speak, found by what all their matches begin and end with.

    If one glob covers another, its literal beginning and end are those of the other, cut. So few
    have to be compared, and ten thousand rules do not cost ten thousand times ten thousand.
    """

    by_ends: dict[tuple[str, str], list[tuple[NameGlob, int]]] = field(default_factory=dict)
    lengths: set[tuple[int, int]] = field(default_factory=set)

    def add(self, glob: NameGlob, position: int) -> None:
        prefix, suffix = glob.literal_prefix, _literal_suffix(glob)
        self.by_ends.setdefault((prefix, suffix), []).append((glob, position))
        self.lengths.add((len(prefix), len(suffix)))

    def covering(self, glob: NameGlob) -> int | None:
        """The position of a rule that speaks for all that the glob matches."""
        prefix, suffix = glob.literal_prefix, _literal_suffix(glob)
        # Sorted, so that a message names the same rule each time.
        for head, tail in sorted(self.lengths):
            if head > len(prefix) or tail > len(suffix):
                continue
            key = (prefix[:head], suffix[len(suffix) - tail :])
            for candidate, position in self.by_ends.get(key, ()):
                if candidate.covers(glob):
                    return position
        return None


def find_dead(rules: Sequence[Rule], is_enforcing: Sequence[bool]) -> list[Dead]:
    """Rules all of whose globs are covered by earlier enforcing rules without a condition.

    Sound: what is called dead is dead. A rule that is dead for a reason deeper than its globs
    (two that cover it only together) is not found.

    Args:
        rules: of one policy, in written order.
        is_enforcing: per rule, whether its own mode lets it speak.
    """
    spoken = {family: _Spoken() for family in Family}
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
