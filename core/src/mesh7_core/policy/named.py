"""Which variables and which parts of the arguments an expression names.

Pure: no clock, no network, no logging.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from mesh7_core.policy import cel, syntax
from mesh7_core.policy.folding import fold


class Part:
    """One place in the arguments, named by an expression; built once, then only read and learned.

    Attributes:
        fields: keys that are named here, when an object is found.
        elements: what is named of each element, when a list is found; None when nothing is.
        is_whole: the value is needed with all that is in it.
        is_looped: its keys or its number of elements are needed.
        folded: what `fold` makes of the keys in `fields`.
        harmless: keys that were seen here and are no other spelling of one in `fields`; bounded
            by whoever adds to it.
    """

    __slots__ = ("elements", "fields", "folded", "harmless", "is_looped", "is_whole")

    def __init__(self) -> None:
        self.fields: dict[str, Part] = {}
        self.elements: Part | None = None
        self.is_whole = False
        self.is_looped = False
        self.folded: dict[str, int] = {}
        self.harmless: set[str] = set()

    def field(self, name: str) -> "Part":
        """The part under a key, made when it is new."""
        part = self.fields.get(name)
        if part is None:
            part = self.fields[name] = Part()
            key = fold(name)
            self.folded[key] = self.folded.get(key, 0) + 1
        return part

    def element(self) -> "Part":
        """The part that stands for every element, made when it is new."""
        if self.elements is None:
            self.elements = Part()
        return self.elements


@dataclass(frozen=True, slots=True)
class Named:
    """What one expression names.

    Attributes:
        variables: keys of `cel.VARIABLES` that it uses.
        arguments: the parts of `args`.
        anywhere: names that it looks up on computed values; they are held against every object
            that it gets whole. `anywhere_folded` is what `fold` makes of them.
    """

    variables: frozenset[str]
    arguments: Part
    anywhere: frozenset[str]
    anywhere_folded: frozenset[str]


def named_by(tree: syntax.Node) -> Named:
    """What the expression names.

    Raises:
        BadCondition: a loop's variable hides one of ours.
    """
    walk = _Walk()
    walk.use(tree)
    return Named(
        frozenset(walk.variables),
        walk.root,
        frozenset(walk.anywhere),
        frozenset(map(fold, walk.anywhere)),
    )


def literal_key(node: syntax.Node) -> tuple[syntax.Node, str] | None:
    """Object and key of `object.key` and `object["key"]`; None for everything else."""
    match node:
        case syntax.Field(of=of, field=field):
            return of, field
        case syntax.Apply(function="_[_]", arguments=(of, syntax.Literal(value=str() as key))):
            return of, key
        case _:
            return None


_OWN_ROOTS = frozenset(name.partition(".")[0] for name in cel.VARIABLES)


class _Walk:
    """Collects what is named. `place` finds where a value comes from, `use` takes it whole."""

    __slots__ = ("anywhere", "root", "scope", "variables")

    def __init__(self) -> None:
        self.root = Part()
        self.variables: set[str] = set()
        self.anywhere: set[str] = set()
        self.scope: dict[str, Part | None] = {}

    def use(self, node: syntax.Node) -> None:
        part = self.place(node)
        if part is not None:
            part.is_whole = True

    def place(self, node: syntax.Node) -> Part | None:
        """The part that the node's value is; None for a computed value, whose parts are used."""
        match node:
            case syntax.Name(name=name):
                return self._variable(name)
            case syntax.Loop():
                self._loop(node)
            case syntax.Entries(keys=keys, values=values):
                self.anywhere.update(_texts(keys))
                self._use_all((*keys, *values))
            case syntax.Items(elements=elements):
                self._use_all(elements)
            case syntax.Literal():
                pass
            case _:
                return self._access(node)
        return None

    def _access(self, node: syntax.Field | syntax.Apply) -> Part | None:
        found = literal_key(node)
        if found is not None:
            part = self._key(*found)
            return None if isinstance(node, syntax.Field) and node.is_test else part
        match node:
            case syntax.Apply(function="_[_]", arguments=(of, syntax.Literal(value=int()))):
                part = self.place(of)
                return None if part is None else part.element()
            case syntax.Apply(function="@in", arguments=(syntax.Literal(value=str() as key), of)):
                if not isinstance(of, syntax.Items):
                    self._key(of, key)
                self.use(of)
            case syntax.Apply(target=target, arguments=arguments):
                self._use_all(arguments if target is None else (target, *arguments))
            case syntax.Field():
                raise AssertionError(node)
        return None

    def _key(self, of: syntax.Node, key: str) -> Part | None:
        part = self.place(of)
        if part is not None:
            return part.field(key)
        is_ours = isinstance(of, syntax.Name) and of.name not in self.scope
        if not is_ours:
            self.anywhere.add(key)
        return None

    def _variable(self, name: str) -> Part | None:
        if name in self.scope:
            return self.scope[name]
        if name in cel.VARIABLES:
            self.variables.add(name)
        return self.root if name == "args" else None

    def _loop(self, loop: syntax.Loop) -> None:
        if loop.variable in _OWN_ROOTS:
            message = f"the loop's variable hides `{loop.variable}`, give it another name"
            raise cel.BadCondition(message, 1)
        part = self.place(loop.over)
        if part is not None:
            part.is_looped = True
        self.use(loop.start)
        outer = self.scope
        element = None if part is None else part.element()
        self.scope = {**outer, loop.variable: element, loop.total: None}
        self._use_all((*loop.body, loop.result))
        self.scope = outer

    def _use_all(self, nodes: Iterable[syntax.Node]) -> None:
        for node in nodes:
            self.use(node)


def _texts(nodes: Iterable[syntax.Node]) -> Iterable[str]:
    for node in nodes:
        if isinstance(node, syntax.Literal) and isinstance(node.value, str):
            yield node.value
