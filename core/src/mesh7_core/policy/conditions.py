"""A rule's `when`: compiled once, evaluated per call to true, false or failed.

Pure: no clock, no network, no logging.
"""

from collections.abc import Callable, Mapping
from datetime import datetime

from typing_extensions import override

from mesh7_core.policy import cel, cutting, named, shortcut, syntax
from mesh7_core.policy.calls import Call
from mesh7_core.policy.cel import BadCondition

__all__ = ["BadCondition", "Condition", "Failed", "Outcome", "compile_condition"]

Failed = cel.Fault
"""The condition has no answer; `why` says the reason without quoting the call."""

Outcome = bool | Failed

_VARIABLES: Mapping[str, Callable[[Call], object]] = {
    "tool": lambda call: f"{call.source}.{call.name}",
    "source.name": lambda call: call.source,
    "source.kind": lambda call: call.source_kind.value,
    "source.host": lambda call: call.source_host,
    "agent.namespace": lambda call: call.agent.namespace,
    "agent.serviceAccount": lambda call: call.agent.service_account,
    "agent.pod": lambda call: call.agent.pod,
    "agent.labels": lambda call: call.agent.labels,
    "http.method": lambda call: "" if call.http is None else call.http.method,
    "http.path": lambda call: "" if call.http is None else call.http.path,
    "http.query": lambda call: "" if call.http is None else call.http.query,
    "session.id": lambda call: call.session,
}
"""Every variable but `args` and `now`. `http` is empty texts for what is no plain HTTP call."""


class Condition:
    """A compiled `when`; equal to another of the same text. Make one with `compile_condition`.

    Attributes:
        text: what people wrote.
    """

    __slots__ = ("_getters", "_named", "_program", "_shortcut", "text")

    def __init__(self, text: str, program: cel.Program, tree: syntax.Node) -> None:
        self.text = text
        self._program = program
        self._named = named.named_by(tree)
        self._shortcut = shortcut.shortcut_of(tree, self._named, _VARIABLES)
        self._getters = tuple(
            (name, getter) for name, getter in _VARIABLES.items() if name in self._named.variables
        )

    @property
    def has_shortcut(self) -> bool:
        """Whether plain values are compared without the CEL runtime."""
        return self._shortcut is not None

    def evaluate(self, call: Call, now: datetime) -> Outcome:
        """True, False, or why it failed. Total.

        Args:
            call: what the variables but `now` are read off.
            now: aware.
        """
        if self._shortcut is not None:
            answer = self._shortcut(call)
            if answer is not None:
                return answer
        return self.evaluate_by_runtime(call, now)

    def evaluate_by_runtime(self, call: Call, now: datetime) -> Outcome:
        """`evaluate` without the shortcut, which must never answer anything else."""
        bindings: dict[str, object] = {name: getter(call) for name, getter in self._getters}
        if "now" in self._named.variables:
            bindings["now"] = now
        if "args" in self._named.variables:
            arguments = cutting.cut(self._named, call.arguments)
            if isinstance(arguments, cel.Fault):
                return arguments
            bindings["args"] = arguments
        return cel.compute(self._program, bindings)

    @override
    def __eq__(self, other: object) -> bool:
        return isinstance(other, Condition) and other.text == self.text

    @override
    def __hash__(self) -> int:
        return hash(self.text)

    @override
    def __repr__(self) -> str:
        return f"Condition({self.text!r})"


def compile_condition(text: str) -> Condition:
    """Compile a CEL expression.

    Raises:
        BadCondition: it does not parse, names what is not there, cannot be true or false, or
            holds a regular expression that is none; with message, line and column.
    """
    program = cel.compile_program(text)
    try:
        tree = syntax.read_tree(program.serialized)
    except syntax.Unreadable as error:
        message = "uses something that is not supported, write it with plain CEL"
        raise BadCondition(message, 1) from error
    for pattern in _patterns(tree):
        if not cel.is_pattern(pattern):
            message = f"`{pattern}` is not a regular expression (RE2)"
            raise BadCondition(
                message, max(0, text.find(f"'{pattern}"), text.find(f'"{pattern}')) + 1
            )
    return Condition(text, program, tree)


def _patterns(tree: syntax.Node) -> list[str]:
    return [
        argument.value
        for node in syntax.walk(tree)
        if isinstance(node, syntax.Apply) and node.function == "matches"
        for argument in node.arguments[-1:]
        if isinstance(argument, syntax.Literal) and isinstance(argument.value, str)
    ]
