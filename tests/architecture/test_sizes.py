"""Size budgets: what is read in one sitting is understood (the house style)."""

import ast

from tests.architecture import tree

_MODULE_LINES = 400
_BODY_LINES = 60


def test_no_module_is_longer_than_a_reader_can_hold() -> None:
    sizes = {tree.shown(path): len(path.read_text().splitlines()) for path in tree.sources()}
    assert {name: size for name, size in sizes.items() if size > _MODULE_LINES} == {}


def test_no_body_is_longer_than_a_screen() -> None:
    """Thirty lines are the aim, sixty the wall; a docstring does not count."""
    long = {
        f"{tree.shown(path)}:{function.lineno} {function.name}": size
        for path in tree.sources()
        for function in tree.functions(ast.parse(path.read_text()))
        if (size := tree.body_lines(function)) > _BODY_LINES
    }
    assert long == {}


def test_bodies_are_short_as_a_rule() -> None:
    """Nine bodies of ten have thirty lines or fewer."""
    sizes = sorted(
        tree.body_lines(function)
        for path in tree.sources()
        for function in tree.functions(ast.parse(path.read_text()))
    )
    assert sizes[len(sizes) * 9 // 10] <= 30
