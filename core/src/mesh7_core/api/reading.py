"""Text → plain values with the line of each: YAML's 1.2 core schema, JSON as a part of it.

Stricter than YAML where YAML surprises: a key may stand once, keys are text, tags and merge keys
are refused, `yes` and `on` are text, and aliases cannot multiply what is read.
Pure: no clock, no network, no logging.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import yaml

from mesh7_core.api.places import Branch, Place, Step, shown
from mesh7_core.errors import ManifestError

MAXIMUM_DEPTH = 50
MAXIMUM_NODES_BY_ALIAS = 10_000
"""Values that a file may gain by aliases, each counted with all that it holds."""

_WORDS: dict[str, object] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip
_INTEGER = re.compile(r"[-+]?[0-9]{1,100}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_LEADING_ZERO = re.compile(r"[-+]?0[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_SPECIAL_FLOAT = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_MERGE_KEY = "<<"
_TEXT_TAGS = ("!", "tag:yaml.org,2002:str")


class Unreadable(ManifestError):  # noqa: N818 - says what it is
    """A file that cannot be read as documents; `line` counts from 1, 0 is the whole file."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


@dataclass(slots=True)
class Text:
    """One document of a file as plain values: dict, list, str, int, float, bool and None."""

    value: object
    place: Place


@dataclass(slots=True)
class _Frame:
    """A mapping or list that is being read."""

    value: dict[str, object] | list[object]
    branch: Branch
    anchor: str | None
    size: int = 1
    key: str | None = None
    key_line: int = 0


@dataclass(slots=True)
class _Anchored:
    value: object
    place: Place
    size: int


@dataclass(slots=True)
class _Reader:
    """Puts together what the parser's events tell, without recursion."""

    documents: list[Text] = field(default_factory=list)
    stack: list[_Frame] = field(default_factory=list)
    anchors: dict[str, _Anchored] = field(default_factory=dict)
    by_alias: int = 0

    def take(self, event: yaml.Event) -> None:
        match event:
            case yaml.ScalarEvent():
                self._scalar(event)
            case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                self._open(event)
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                self._close()
            case yaml.AliasEvent():
                self._alias(event)
            case yaml.DocumentStartEvent():
                self.anchors.clear()
            case _:
                pass

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        line = _line(event)
        frame = self.stack[-1] if self.stack else None
        if frame is not None and isinstance(frame.value, dict) and frame.key is None:
            _take_key(frame, event, line)
            return
        value = _resolve(event, line)
        if event.anchor is not None:
            self.anchors[event.anchor] = _Anchored(value, line, 1)
        self._add(value, line, 1)

    def _open(self, event: yaml.MappingStartEvent | yaml.SequenceStartEvent) -> None:
        line = _line(event)
        if event.tag is not None:
            raise Unreadable(line, f"tag {_tag(event.tag)} is not supported, remove it")
        if len(self.stack) >= MAXIMUM_DEPTH:
            raise Unreadable(line, f"nested deeper than {MAXIMUM_DEPTH} levels, flatten it")
        self._refuse_as_key(line)
        value: dict[str, object] | list[object] = (
            {} if isinstance(event, yaml.MappingStartEvent) else []
        )
        self.stack.append(_Frame(value, Branch(line), event.anchor))

    def _close(self) -> None:
        frame = self.stack.pop()
        if frame.anchor is not None:
            self.anchors[frame.anchor] = _Anchored(frame.value, frame.branch, frame.size)
        self._add(frame.value, frame.branch, frame.size)

    def _alias(self, event: yaml.AliasEvent) -> None:
        line = _line(event)
        self._refuse_as_key(line)
        anchor = event.anchor or ""
        known = self.anchors.get(anchor)
        if known is None:
            raise Unreadable(
                line, f"alias {shown('*' + anchor)} names no finished anchor before it"
            )
        self.by_alias += known.size
        if self.by_alias > MAXIMUM_NODES_BY_ALIAS:
            raise Unreadable(
                line, f"aliases add more than {MAXIMUM_NODES_BY_ALIAS} values, write them out"
            )
        self._add(known.value, known.place, known.size)

    def _refuse_as_key(self, line: int) -> None:
        frame = self.stack[-1] if self.stack else None
        if frame is not None and isinstance(frame.value, dict) and frame.key is None:
            raise Unreadable(line, "a key is not plain text, write a word followed by `:`")

    def _add(self, value: object, place: Place, size: int) -> None:
        if not self.stack:
            self.documents.append(Text(value, place))
            return
        frame = self.stack[-1]
        frame.size += size
        step: Step
        if isinstance(frame.value, list):
            step = len(frame.value)
            frame.value.append(value)
        elif frame.key is not None:
            step = frame.key
            frame.value[step] = value
            place = _moved(place, frame.key_line)
            frame.key = None
        else:  # pragma: no cover - keys never come here
            return
        frame.branch.children[step] = place


def read(text: str) -> list[Text]:
    """All documents of a YAML or JSON text, empty ones included (their value is None).

    Raises:
        Unreadable: the text is not YAML, or uses what is refused here.
    """
    reader = _Reader()
    for event in _events(text):
        reader.take(event)
    return reader.documents


def decode(content: bytes) -> str:
    """A file's bytes as text.

    Raises:
        Unreadable: they are not UTF-8; the line of the first wrong byte is told.
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise Unreadable(line, "the file is not UTF-8, save it as UTF-8") from error


def _tag(tag: str) -> str:
    return shown(tag.replace("tag:yaml.org,2002:", "!!", 1))


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark is not None else 0


def _events(text: str) -> Iterator[yaml.Event]:
    try:
        yield from yaml.parse(text, Loader=yaml.CSafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark is not None else 0
        raise Unreadable(line, _parser_words(error)) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise Unreadable(line, "a control character stands here, remove it") from error
    except yaml.YAMLError as error:
        raise Unreadable(0, "the file is not YAML") from error


_ADVICE = (
    ("mapping values are not allowed", "put a text that holds `: ` into quotes"),
    ("cannot start any token", "indent with blanks and quote text that begins with a sign"),
    ("unexpected end of stream", "close the quote or bracket"),
)


def _parser_words(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or "something is wrong"
    advice = next((words for sign, words in _ADVICE if sign in problem), "check the indentation")
    return f"not YAML: {f'{error.context}: ' if error.context else ''}{problem}, {advice}"


def _take_key(frame: _Frame, event: yaml.ScalarEvent, line: int) -> None:
    key = _resolve(event, line)
    if not isinstance(key, str):
        raise Unreadable(line, f"key {shown(event.value)} is not text, put it into quotes")
    if key == _MERGE_KEY and event.implicit[0]:
        raise Unreadable(line, "merge keys (`<<`) are not supported, write the fields out")
    if key in frame.value:
        raise Unreadable(
            line,
            f"key {shown(key)} stands twice in one mapping, first in line "
            f"{_line_of(frame.branch.children[key])}, keep one",
        )
    if event.anchor is not None:
        raise Unreadable(line, f"key {shown(key)} has an anchor, put it on a value")
    frame.key, frame.key_line = key, line


def _resolve(event: yaml.ScalarEvent, line: int) -> object:
    text: str = event.value
    if event.tag is not None:
        if event.tag in _TEXT_TAGS:
            return text
        raise Unreadable(line, f"tag {_tag(event.tag)} is not supported, remove it")
    if not event.implicit[0]:
        return text
    if text in _WORDS:
        return _WORDS[text]
    if not (text[0].isdigit() or text[0] in "+-."):
        return text
    return _number(text, line)


def _number(text: str, line: int) -> object:
    if _LEADING_ZERO.fullmatch(text):
        raise Unreadable(
            line,
            f"number {shown(text)} means different things in YAML 1.1 and 1.2, quote it "
            "if it is text, else write it without the leading 0",
        )
    if _INTEGER.fullmatch(text):
        return int(text)
    if _SPECIAL_FLOAT.fullmatch(text):
        raise Unreadable(line, f"{shown(text)} is no number that can be used here, quote it")
    if _FLOAT.fullmatch(text):
        number = float(text)
        if number in (float("inf"), float("-inf")):
            raise Unreadable(line, f"number {shown(text)} is too large, quote it if it is text")
        return number
    return text


def _moved(place: Place, line: int) -> Place:
    return line if isinstance(place, int) else Branch(line, place.children)


def _line_of(place: Place) -> int:
    return place if isinstance(place, int) else place.line
