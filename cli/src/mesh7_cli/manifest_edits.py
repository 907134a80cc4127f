"""Writes accepted digests into the text of a manifest, and leaves every other byte as it is.

The parser says where things stand; the text is changed there and nowhere else, so comments, order
and layout stay. Afterwards both texts are read as the gateway reads them: unless they differ in
what was to be changed alone, nothing comes out. Pure: no clock, no network, no logging.
"""

import json
import re
from collections.abc import Iterator, Mapping

import yaml

from mesh7_core import errors, names
from mesh7_core.api import places, reading

STEP = 2
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
_WORDS = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n"})
_ACCEPTED = ("spec", "pinning", "accepted")


class UneditableError(errors.ManifestError):
    """The text is laid out in a way in which it cannot be changed safely."""


def accept(text: str, source: str, digests: Mapping[str, str], *, is_json: bool) -> str:
    """The manifests in `text` with these digests among the accepted ones of `source`.

    Args:
        text: of a file in which the ToolSource stands.
        source: its name.
        digests: by the source's own name of the tool.
        is_json: the file is read by programs that know JSON alone.

    Raises:
        UneditableError: the layout cannot be edited safely.
    """
    try:
        owner = _find(_readable(text, is_json=is_json), source)
        edited = _Edits(text, is_json=is_json).accept(owner, digests)
        found = [each.value for each in reading.read(_readable(edited, is_json=is_json))]
        expected = _expected(_readable(text, is_json=is_json), source, digests)
    except (yaml.YAMLError, reading.Unreadable, _Strange) as error:
        raise UneditableError(_says(source)) from error
    if found != expected:
        raise UneditableError(_says(source))
    return edited


def lines_to_paste(digests: Mapping[str, str]) -> str:
    """What a person writes into the ToolSource's `spec`."""
    items = [line for item in digests.items() for line in _block_item(*item, STEP)]
    return "\n".join(["pinning:", f"{' ' * STEP}accepted:", *items])


class _Strange(Exception):  # noqa: N818 - says what it is
    """Something stands where something else should."""


class _Edits:
    """Changes to one text, collected by place."""

    def __init__(self, text: str, *, is_json: bool) -> None:
        self._text = text
        self._is_json = is_json
        self._newline = "\r\n" if "\r\n" in text else "\n"
        self._changes: list[tuple[int, int, str]] = []

    def accept(self, owner: yaml.MappingNode, digests: Mapping[str, str]) -> str:
        """The text with all changes; `owner` is the ToolSource."""
        spec = _mapping(_value(owner, "spec"))
        pinning = _value(spec, "pinning")
        accepted = None if pinning is None else _value(_mapping(pinning), "accepted")
        if pinning is None:
            self._add_key(owner, "spec", ("pinning", "accepted"), digests)
        elif accepted is None:
            self._add_key(spec, "pinning", ("accepted",), digests)
        elif isinstance(accepted, yaml.SequenceNode):
            self._merge(accepted, digests)
        else:
            raise _Strange
        text = self._text
        for start, end, fresh in sorted(self._changes, reverse=True):
            text = text[:start] + fresh + text[end:]
        return text

    def _merge(self, accepted: yaml.SequenceNode, digests: Mapping[str, str]) -> None:
        fresh = dict(digests)
        for item in accepted.value:
            tool = _value(_mapping(item), "tool")
            digest = _value(_mapping(item), "digest")
            if tool is not None and digest is not None and tool.value in fresh:
                start, end = digest.start_mark.index, digest.end_mark.index
                old = self._text[start:end]
                quote = old[0] if old[:1] in ("'", '"') else ""
                self._changes.append((start, end, f"{quote}{fresh.pop(tool.value)}{quote}"))
        if not fresh:
            return
        if accepted.flow_style:
            self._add_to_flow(accepted, self._flow_items(fresh))
            return
        last = accepted.value[-1]
        column = accepted.start_mark.column
        item_of = _flow_style_item if last.flow_style else _block_item
        lines = [line for item in fresh.items() for line in item_of(*item, column)]
        self._add_lines(_last_line(last) + 1, lines)

    def _add_key(
        self,
        parent: yaml.MappingNode,
        name: str,
        keys: tuple[str, ...],
        digests: Mapping[str, str],
    ) -> None:
        """Put `accepted` with all above it that is missing into the mapping under `name`."""
        key, value = _member(parent, name)
        holder = _mapping(value)
        if holder.flow_style:
            self._add_to_flow(holder, self._flow_member(keys, digests))
            return
        column = holder.start_mark.column
        lines = [f"{' ' * (column + STEP * depth)}{key}:" for depth, key in enumerate(keys)]
        column += STEP * (len(keys) - 1)
        lines += [line for item in digests.items() for line in _block_item(*item, column)]
        # After the key's own line: comments below it belong to what they stand above.
        self._add_lines(key.end_mark.line + 1, lines)

    def _flow_member(self, keys: tuple[str, ...], digests: Mapping[str, str]) -> str:
        written = f"[{self._flow_items(digests)}]"
        for key in reversed(keys[1:]):
            written = f"{{{self._scalar(key)}: {written}}}"
        return f"{self._scalar(keys[0])}: {written}"

    def _add_to_flow(self, holder: yaml.CollectionNode, fresh: str) -> None:
        if holder.value:
            last = holder.value[-1]
            end = (last[1] if isinstance(last, tuple) else last).end_mark.index
            self._changes.append((end, end, f", {fresh}"))
        else:
            inside = holder.start_mark.index + 1
            self._changes.append((inside, inside, fresh))

    def _add_lines(self, number: int, lines: list[str]) -> None:
        """Put lines before the line `number`, which counts from 0."""
        place = 0
        for _ in range(number):
            end = self._text.find("\n", place)
            place = len(self._text) if end < 0 else end + 1
        is_open = place == len(self._text) and not self._text.endswith("\n")
        joined = self._newline.join(lines)
        fresh = self._newline + joined if is_open else joined + self._newline
        self._changes.append((place, place, fresh))

    def _flow_items(self, digests: Mapping[str, str]) -> str:
        return ", ".join(
            f"{{{self._scalar('tool')}: {self._scalar(tool)},"
            f" {self._scalar('digest')}: {self._scalar(digest)}}}"
            for tool, digest in digests.items()
        )

    def _scalar(self, text: str) -> str:
        return json.dumps(text) if self._is_json else _scalar(text)


def _block_item(tool: str, digest: str, column: int) -> list[str]:
    indent = " " * column
    return [f"{indent}- tool: {_scalar(tool)}", f"{indent}  digest: {digest}"]


def _flow_style_item(tool: str, digest: str, column: int) -> list[str]:
    return [f"{' ' * column}- {{tool: {_scalar(tool)}, digest: {_scalar(digest)}}}"]


def _scalar(text: str) -> str:
    """A text in YAML, in quotes when it could be read as anything else."""
    is_plain = _PLAIN.fullmatch(text) is not None and text.lower() not in _WORDS
    is_digest = text.startswith("sha256:")
    return text if is_plain or is_digest else json.dumps(text)


def _find(text: str, source: str) -> yaml.MappingNode:
    for root in yaml.compose_all(text, Loader=yaml.SafeLoader):
        for node in _objects(root):
            kind, metadata = _value(node, "kind"), _value(node, "metadata")
            name = _value(_mapping(metadata), "name") if metadata is not None else None
            is_ours = kind is not None and kind.value == names.TOOL_SOURCE
            if is_ours and name is not None and name.value == source:
                return node
    raise _Strange


def _objects(root: yaml.Node | None) -> Iterator[yaml.MappingNode]:
    """The document, or the items of a List."""
    if not isinstance(root, yaml.MappingNode):
        return
    items = _value(root, "items")
    if isinstance(items, yaml.SequenceNode):
        for item in items.value:
            yield from _objects(item)
    else:
        yield root


def _mapping(node: yaml.Node | None) -> yaml.MappingNode:
    if not isinstance(node, yaml.MappingNode):
        raise _Strange
    return node


def _value(node: yaml.MappingNode, key: str) -> yaml.Node | None:
    return next((value for name, value in node.value if name.value == key), None)


def _member(node: yaml.MappingNode, key: str) -> tuple[yaml.Node, yaml.Node]:
    found: tuple[yaml.Node, yaml.Node] = next(pair for pair in node.value if pair[0].value == key)
    return found


def _readable(text: str, *, is_json: bool) -> str:
    """The text as the loader takes it: JSON may be indented with tabs, YAML may not."""
    return text.replace("\t", " ") if is_json else text


def _last_line(node: yaml.Node) -> int:
    """Where a node ends; the parser's own mark of a block's end lies behind comments."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _last_line(last[1] if isinstance(last, tuple) else last)
    line: int = node.end_mark.line
    return line


def _expected(text: str, source: str, digests: Mapping[str, str]) -> list[object]:
    """All documents as they should read afterwards."""
    # By way of JSON, so that what one anchor gave to two places becomes two values.
    found = [json.loads(json.dumps(each.value)) for each in reading.read(text)]
    for document in found:
        for one in _values(document):
            if places.value_at(one, ("kind",)) != names.TOOL_SOURCE:
                continue
            if places.value_at(one, ("metadata", "name")) == source:
                _accept_in(one, digests)
    return found


def _values(document: object) -> Iterator[dict[str, object]]:
    items = document.get("items") if isinstance(document, dict) else None
    if isinstance(items, list):
        for item in items:
            yield from _values(item)
    elif isinstance(document, dict):
        yield document


def _accept_in(one: dict[str, object], digests: Mapping[str, str]) -> None:
    holder: dict[str, object] = one
    for key in _ACCEPTED[:-1]:
        inner = holder.setdefault(key, {})
        if not isinstance(inner, dict):
            raise _Strange
        holder = inner
    written = holder.setdefault(_ACCEPTED[-1], [])
    if not isinstance(written, list):
        raise _Strange
    fresh = dict(digests)
    for item in written:
        if isinstance(item, dict) and item.get("tool") in fresh:
            item["digest"] = fresh.pop(item["tool"])
    written += [{"tool": tool, "digest": digest} for tool, digest in fresh.items()]


def _says(source: str) -> str:
    return (
        f"source `{source}` is written in a way that cannot be edited safely, write these lines"
        " into its `spec` by hand"
    )
