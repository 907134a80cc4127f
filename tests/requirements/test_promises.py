"""Promises and tests hold each other: every promise has a test, every marker names a promise."""

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.requirements.promises import OPEN, PROMISES

_TESTS = Path(__file__).parents[1]
_PLACES = (_TESTS, _TESTS.parent / "e2e")


def _text(argument: ast.expr) -> str:
    return str(argument.value) if isinstance(argument, ast.Constant) else ast.unparse(argument)


def _markers() -> Iterator[tuple[str, str]]:
    """(`path:line`, promise id) of every marker; an argument that is no text shows as it is."""
    for path in sorted(path for place in _PLACES for path in place.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("mark.promise"):
                place = f"{path.relative_to(_TESTS.parent)}:{node.lineno}"
                for argument in node.args:
                    yield place, _text(argument)


def test_every_marker_names_a_known_promise() -> None:
    """A typing error in a marker would leave a promise unkept without a word."""
    unknown = [f"{place}: {name}" for place, name in _markers() if name not in PROMISES]
    assert unknown == [], "add the promise to tests/requirements/promises.py, or mend the marker"


def test_every_promise_is_kept_by_a_test_or_said_to_be_open() -> None:
    """Issue 3: promises are data, tied to tests both ways."""
    kept = {name for _, name in _markers()}
    assert sorted(set(PROMISES) - kept - set(OPEN)) == []


def test_an_open_promise_has_a_reason_and_is_known() -> None:
    assert sorted(name for name, reason in OPEN.items() if not reason) == []
    assert sorted(set(OPEN) - set(PROMISES)) == []


def test_a_promise_that_is_kept_is_no_longer_called_open() -> None:
    """Else the list of what is open would say less and less."""
    kept = {name for _, name in _markers()}
    assert sorted(set(OPEN) & kept) == [], "remove these from OPEN in promises.py"
