"""From a name to the globs that match it, without a scan.

A glob is filed under what it holds literally: the whole name, else what a match begins or ends
with, whichever is longer; only a glob with neither is tried on every name (`*.*x*`), or on every
name of its source (`billing.*x*`). What a look-up costs grows with the length of the name and the
globs that match, not with the globs there are, and a made-up name costs no more (P11).
Pure: no clock, no network, no logging.
"""

from collections.abc import Iterable

from mesh7_core.policy.globs import NameGlob

Filed = tuple[int, NameGlob | None]
"""A position, and the glob to try when where it is filed proves no match yet."""


class _Node:
    """A node of a prefix tree; an edge holds as many characters as nothing branches off."""

    __slots__ = ("children", "filed")

    def __init__(self) -> None:
        self.children: dict[str, tuple[str, _Node]] = {}
        self.filed: list[Filed] = []

    def put(self, prefix: str, filed: Filed) -> None:
        """File under a prefix, making or splitting an edge where the tree has none for it."""
        node = self
        while prefix:
            edge, below = node.children.get(prefix[0], ("", node))
            if not edge:
                fresh = _Node()
                node.children[prefix[0]] = (prefix, fresh)
                node = fresh
                break
            shared = _shared(edge, prefix)
            if shared < len(edge):
                below = node.split(edge, shared, below)
            node, prefix = below, prefix[shared:]
        node.filed.append(filed)

    def split(self, edge: str, at: int, below: "_Node") -> "_Node":
        """Put a node on the edge to `below` after `at` characters."""
        middle = _Node()
        middle.children[edge[at]] = (edge[at:], below)
        self.children[edge[0]] = (edge[:at], middle)
        return middle

    def find(self, text: str, found: list[Filed]) -> None:
        """Add what is filed under every beginning of `text`."""
        node, position = self, 0
        while True:
            if node.filed:
                found += node.filed
            edge, below = node.children.get(text[position : position + 1], _NOWHERE)
            if below is None or not text.startswith(edge, position):
                return
            node, position = below, position + len(edge)


_NOWHERE: tuple[str, None] = ("", None)


def _shared(one: str, other: str) -> int:
    length = min(len(one), len(other))
    return next((at for at in range(length) if one[at] != other[at]), length)


class Index:
    """Positions by the globs given for them; built once, then only read.

    Args:
        patterns: (position, glob); a position may come several times.
    """

    __slots__ = ("_by_name", "_exact", "_full", "_names", "_suffixes")

    def __init__(self, patterns: Iterable[tuple[int, NameGlob]]) -> None:
        self._exact: dict[str, list[Filed]] = {}
        self._by_name: dict[str, list[Filed]] = {}
        self._full = _Node()
        self._names = _Node()
        self._suffixes = _Node()
        for position, glob in patterns:
            self._file(position, glob)

    def _file(self, position: int, glob: NameGlob) -> None:
        """Under the longest literal end of its name part; the source, if literal, only helps."""
        name, source = glob.name.text, glob.source.text
        prefix, suffix = glob.name.literal_prefix, _literal_suffix(name)
        is_plain = name in (prefix, prefix + "*")
        if glob.is_exact:
            self._exact.setdefault(f"{source}.{name}", []).append((position, None))
        elif glob.name.is_exact:
            self._by_name.setdefault(name, []).append((position, glob))
        elif len(suffix) > len(prefix):
            self._suffixes.put(suffix[::-1], (position, glob))
        elif glob.source.is_exact:
            self._full.put(f"{source}.{prefix}", (position, None if is_plain else glob))
        else:
            is_proof = is_plain and source == "*"
            self._names.put(prefix, (position, None if is_proof else glob))

    def candidates(self, source: str, name: str) -> list[Filed]:
        """What may match; those with a glob are to be tried."""
        full = f"{source}.{name}"
        found: list[Filed] = []
        exact = self._exact.get(full)
        if exact is not None:
            found += exact
        by_name = self._by_name.get(name)
        if by_name is not None:
            found += by_name
        self._full.find(full, found)
        self._names.find(name, found)
        if self._suffixes.children:
            self._suffixes.find(name[::-1], found)
        return found

    def matching(self, source: str, name: str) -> list[int]:
        """The positions whose globs match `<source>.<name>`, ascending, each once."""
        if "." in source:
            return []
        return sorted(
            {
                position
                for position, glob in self.candidates(source, name)
                if glob is None or glob.matches(source, name)
            }
        )


def _literal_suffix(glob: str) -> str:
    return glob[max(glob.rfind("*"), glob.rfind("?")) + 1 :]
