"""`Mcp-Param-*`: arguments that a tool's schema asks clients to repeat as headers.

A router in front of the tool believes the header, so it must say what the arguments say. The
declarations are read once per tool definition, the comparison is made per call (MCP 2026-07-28,
custom headers; the SDK's `mcp.shared.inbound` is the oracle of the tests).
Pure: no clock, no network, no logging.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from mesh7_sidecar.wire import headers

_ANNOTATION: Final = "x-mcp-header"
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_DECIMAL = re.compile(r"(-?[0-9]+)(?:\.0+)?")
_TYPES: Final = frozenset({"boolean", "integer", "string"})
# JSON Schema 2020-12 keywords that hold schemas; instance data and `$ref` are never entered.
_ONE: Final = frozenset({
    "additionalProperties", "contains", "contentSchema", "else", "if", "items", "not",
    "propertyNames", "then", "unevaluatedItems", "unevaluatedProperties",
})  # fmt: skip
_LIST: Final = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_MAP: Final = frozenset({"$defs", "definitions", "dependentSchemas", "patternProperties"})
_Path = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """One argument to be repeated.

    Attributes:
        path: keys from the arguments' root.
        header: its name in lower case, `mcp-param-` included.
        is_integer: numbers of equal value count as equal, however they are written.
    """

    path: _Path
    header: bytes
    is_integer: bool


def declared(schema: object) -> tuple[Declared, ...]:
    """What an input schema asks to repeat; empty when it asks wrongly.

    A conforming client drops a tool with a wrong annotation and sends no headers for it, so there
    is nothing to compare then.
    """
    found: list[Declared] = []
    seen: set[str] = set()
    for path, node in _schemas(schema):
        if _ANNOTATION not in node:
            continue
        token, kind = node[_ANNOTATION], node.get("type")
        if not path or not isinstance(token, str) or not isinstance(kind, str):
            return ()
        if kind not in _TYPES or _TOKEN.fullmatch(token) is None or token.lower() in seen:
            return ()
        seen.add(token.lower())
        name = headers.PARAM_PREFIX + token.lower().encode()
        found.append(Declared(path=path, header=name, is_integer=kind == "integer"))
    return tuple(found)


def mismatch(
    wanted: tuple[Declared, ...], arguments: dict[str, object], received: headers.HeaderList
) -> str | None:
    """Why the headers do not say what the arguments say; None when they do.

    Args:
        wanted: of the tool's definition.
        arguments: of the call.
        received: the `Mcp-Param-*` headers; those that nobody declared pass.
    """
    for one in wanted:
        values = [value for name, value in received if name == one.header]
        shown = one.header.decode()
        if len(values) > 1:
            return f"the header `{shown}` must not come twice"
        argument = _at(arguments, one.path)
        rendered = _rendered(argument)
        if rendered is None:
            if values:
                return f"the header `{shown}` repeats an argument that the body does not have"
            continue
        if not values:
            return f"the header `{shown}` must repeat the argument `{'.'.join(one.path)}`"
        said = headers.decode_value(values[0])
        if said is None or not _agrees(one, argument, rendered, said):
            return f"the header `{shown}` must equal the argument `{'.'.join(one.path)}`"
    return None


def sent(wanted: tuple[Declared, ...], received: headers.HeaderList) -> tuple[Declared, ...]:
    """Those of `wanted` that were repeated: a legacy client need not, but must not lie either."""
    names = {name for name, _ in received}
    return tuple(one for one in wanted if one.header in names)


def without_undeclared(
    received: headers.HeaderList, wanted: tuple[Declared, ...]
) -> headers.HeaderList:
    """All headers but the `Mcp-Param-*` ones that the tool did not ask for."""
    names = {one.header for one in wanted}
    return [
        pair for pair in received
        if not pair[0].startswith(headers.PARAM_PREFIX) or pair[0] in names
    ]  # fmt: skip


def repeated(wanted: tuple[Declared, ...], arguments: dict[str, object]) -> headers.HeaderList:
    """The `Mcp-Param-*` headers that a caller of the tool must send along."""
    found: headers.HeaderList = []
    for one in wanted:
        rendered = _rendered(_at(arguments, one.path))
        if rendered is not None:
            found.append((one.header, headers.encode_value(rendered)))
    return found


def _schemas(root: object) -> Iterator[tuple[_Path | None, dict[str, object]]]:
    """Every schema in `root`; its path is None below anything but plain `properties`."""
    pending: list[tuple[_Path | None, object]] = [((), root)]
    while pending:
        path, node = pending.pop()
        if not isinstance(node, dict):
            continue
        yield path, node
        for keyword, value in node.items():
            if keyword == "properties" and isinstance(value, dict):
                pending += [
                    (None if path is None else (*path, key), inner) for key, inner in value.items()
                ]
            elif keyword in _ONE:
                pending.append((None, value))
            elif keyword in _LIST and isinstance(value, list):
                pending += [(None, inner) for inner in value]
            elif keyword in _MAP and isinstance(value, dict):
                pending += [(None, inner) for inner in value.values()]


def _at(arguments: dict[str, object], path: _Path) -> object:
    node: object = arguments
    for key in path:
        node = node.get(key) if isinstance(node, dict) else None
    return node


def _rendered(value: object) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int | float) else None


def _agrees(one: Declared, argument: object, rendered: str, said: str) -> bool:
    is_whole = isinstance(argument, int) or (isinstance(argument, float) and argument.is_integer())
    match = _DECIMAL.fullmatch(said) if one.is_integer and is_whole else None
    if match is None or isinstance(argument, bool) or not isinstance(argument, int | float):
        return said == rendered
    try:
        return int(match[1]) == int(argument)
    except ValueError:  # more digits than Python reads; the arguments are bounded
        return False
