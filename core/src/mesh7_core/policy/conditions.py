"""A rule's `when`: compiled once, evaluated per call to true, false or failed.

Pure: no clock, no network, no logging.
"""

from datetime import datetime

from mesh7_core.policy import cel
from mesh7_core.policy.calls import Call
from mesh7_core.policy.cel import BadCondition

__all__ = ["BadCondition", "Condition", "Failed", "Outcome", "compile_condition"]

Failed = cel.Fault
"""The condition has no answer; `why` says the reason without quoting the call."""

Outcome = bool | Failed


class Condition:
    """A compiled `when`; equal to another of the same text.

    Attributes:
        text: what people wrote.
    """

    __slots__ = ("_program", "text")

    def __init__(self, text: str, program: cel.Program) -> None:
        self.text = text
        self._program = program

    def evaluate(self, call: Call, now: datetime) -> Outcome:
        """True, False, or why it failed. Total."""
        return cel.compute(self._program, {"args": call.arguments, "tool": call.full_name, "now": now})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Condition) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return f"Condition({self.text!r})"


def compile_condition(text: str) -> Condition:
    """Compile a CEL expression.

    Raises:
        BadCondition: with message, line and column.
    """
    return Condition(text, cel.compile_program(text))
