"""Rules that ask, by id: each is looked for and written out once, however many requests name it.

Pure: no clock, no network, no logging.
"""

from collections.abc import Mapping, Sequence

from mesh7_core.policy import exact
from mesh7_core.policy.rules import Policy, RuleId
from mesh7_core.policy.voices import Voice


class Rulebook:
    """The rules of one look.

    Args:
        policies: in force, by id.
    """

    def __init__(self, policies: Mapping[str, Policy]) -> None:
        self._policies = policies
        self._voices: dict[str, Voice | None] = {}
        self._written: dict[str, str] = {}

    def voices(self, rules: Sequence[str]) -> tuple[Voice, ...] | None:
        """What these say; None = one of them is not there, or does not ask any more."""
        found: list[Voice] = []
        for rule in rules:
            voice = self._voice(rule)
            if voice is None:
                return None
            found.append(voice)
        return tuple(found)

    def written(self, voices: Sequence[Voice]) -> tuple[str, ...]:
        """Their compiled form, for the digest (`exact.asked_rules`)."""
        return tuple(self._spelled(one) for one in voices)

    def _voice(self, rule: str) -> Voice | None:
        if rule not in self._voices:
            policy = self._policies.get(rule.rpartition("/")[0])
            self._voices[rule] = (
                None if policy is None else exact.asking_voice(policy, RuleId(rule))
            )
        return self._voices[rule]

    def _spelled(self, voice: Voice) -> str:
        if voice.id not in self._written:
            (text,) = exact.asked_rules([self._policies[voice.policy]], [voice])
            self._written[voice.id] = text
        return self._written[voice.id]
