"""The CEL runtime: what an expression may name, compiling it, and computing it.

The only module that touches cel-expr-python. Its answers here are closed: true, false, or a
`Fault` whose words are ours, because the runtime's own error texts quote argument values.
Pure: no clock, no network, no logging.
"""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from cel_expr_python import cel

from mesh7_core.errors import ManifestError

_TYPE = cel.Type
_STRING = _TYPE.STRING
VARIABLES: Mapping[str, cel.Type] = {
    "args": _TYPE.Map(_STRING, _TYPE.DYN),
    "tool": _STRING,
    "source.name": _STRING,
    "source.kind": _STRING,
    "source.host": _STRING,
    "agent.namespace": _STRING,
    "agent.serviceAccount": _STRING,
    "agent.pod": _STRING,
    "agent.labels": _TYPE.Map(_STRING, _STRING),
    "http.method": _STRING,
    "http.path": _STRING,
    "http.query": _STRING,
    "session.id": _STRING,
    "now": _TYPE.TIMESTAMP,
}
"""Dotted names are variables of their own: a misspelt field does not compile, and only what an
expression names is handed over."""

MAXIMUM_LENGTH = 4096
"""Characters of one expression."""


class BadCondition(ManifestError):  # noqa: N818 - as BadGlob
    """An expression that does not compile.

    Attributes:
        message: what is wrong and what to do; names no file and no position.
        line, column: where in the expression, both from 1.
    """

    def __init__(self, message: str, column: int, line: int = 1) -> None:
        super().__init__(message)
        self.column = column
        self.line = line


@dataclass(frozen=True, slots=True)
class Fault:
    """Why an expression has no answer for this call; never quotes the call."""

    why: str


MISSING = Fault("something the expression names is missing from the call")
WRONG_TYPE = Fault("a value has another type than the expression needs")
BIG_INTEGER = Fault("a value the expression names holds an integer beyond 64 bits")
TOO_MUCH = Fault("the expression loops over more than it may")
NOT_BOOLEAN = Fault("the expression gave something other than true or false")
NOT_COMPUTED = Fault("the expression cannot be computed for this call")

_FAULTS = (
    ("NOT_FOUND", MISSING),
    ("INVALID_ARGUMENT: Applying SELECT to non-message", WRONG_TYPE),
    ("INVALID_ARGUMENT: Invalid container type", WRONG_TYPE),
    ("INVALID_ARGUMENT: Integer value", BIG_INTEGER),
    ("UNKNOWN: No matching overloads", WRONG_TYPE),
    ("UNKNOWN: Index error", WRONG_TYPE),
    ("INTERNAL: Iteration budget", TOO_MUCH),
)
_POSITION = re.compile(r"ERROR: <input>:(-?\d+):(-?\d+): (.*)")
_MISMATCHED = re.compile(r"(?:mismatched|extraneous) input '(.*?)' expecting")
_UNDECLARED = re.compile(r"undeclared reference to `(.*)`")
_QUOTED = re.compile(r"'([^']*)'")


@dataclass(frozen=True, slots=True)
class Program:
    """One expression, parsed and checked.

    Attributes:
        serialized: the checked tree, a `google.protobuf.Any` of `cel.expr.CheckedExpr`.
    """

    expression: cel.Expression
    serialized: bytes


@cache
def _environment() -> cel.Env:
    return cel.NewEnv(variables=VARIABLES)


def compile_program(text: str) -> Program:
    """Parse and check `text`.

    Raises:
        BadCondition: it does not parse, names what is not there, or cannot be true or false.
    """
    if not text.strip():
        raise BadCondition("is empty, write a condition or leave `when` out", 1)
    if len(text) > MAXIMUM_LENGTH:
        raise BadCondition(f"longer than {MAXIMUM_LENGTH} characters, split the rule", 1)
    if not text.isprintable() and re.search(r"[^\t\n\r -\uD7FF\uE000-\U0010FFFF]", text):
        raise BadCondition("holds a control character or a lone surrogate, remove it", 1)
    try:
        expression = _environment().compile(text)
    except RuntimeError as error:
        raise _bad(str(error)) from error
    kind = expression.return_type()
    if kind not in (_TYPE.BOOL, _TYPE.DYN):
        raise BadCondition(
            f"gives a value of type {kind.name().lower()}, it must be true or false", 1
        )
    return Program(expression, expression.serialize())


def _bad(message: str) -> BadCondition:
    if "recursion" in message:
        return BadCondition("is nested too deeply (at most 32 levels), split the rule", 1)
    found = _POSITION.search(message)
    if found is None:
        return BadCondition("is not an expression", 1)
    what = found[3].removesuffix(" [INVALID_ARGUMENT]").replace(" (in container '')", "")
    return BadCondition(_plainly(what), max(1, int(found[2])), max(1, int(found[1])))


def _plainly(what: str) -> str:
    """The compiler's words without its grammar, names in backticks, with a suggestion."""
    if mismatched := _MISMATCHED.search(what):
        is_end = mismatched[1] == "<EOF>"
        return "ends too early" if is_end else f"`{mismatched[1]}` is not expected here"
    text = _QUOTED.sub(r"`\1`", what)
    text = text[:1].lower() + text[1:]
    undeclared = _UNDECLARED.match(text)
    near = difflib.get_close_matches(undeclared[1], VARIABLES, n=1) if undeclared else []
    return f"{text}, did you mean `{near[0]}`?" if near else text


def compute(program: Program, bindings: Mapping[str, object]) -> bool | Fault:
    """The answer of `program` for these variables; what is not bound and not reached is no matter.

    Total: whatever the runtime cannot convert or compute is a `Fault`.
    """
    try:
        value = program.expression.eval(data=bindings)
        answer = value.value()
    except RuntimeError as error:  # budgets and strings that are not UTF-8 raise
        return _fault(str(error))
    if answer is True or answer is False:
        return answer
    if value.type() == _TYPE.ERROR:
        return _fault(str(answer))
    return NOT_BOOLEAN


def is_pattern(text: str) -> bool:
    """Whether `matches` takes this as a regular expression (RE2)."""
    return isinstance(compute(_pattern_program(), {"tool": text}), bool)


@cache
def _pattern_program() -> Program:
    return compile_program("''.matches(tool)")


def _fault(message: str) -> Fault:
    for start, fault in _FAULTS:
        if message.startswith(start):
            return fault
    return NOT_COMPUTED
