"""What a name that tells of a secret stands for in a text, however the two are written.

Assignments, JSON once or more times encoded, headers, options of command lines, tags, and pairs of
`name` and `value`. Each search goes on where the last one ended, so time grows with the text.
Pure: no clock, no network, no logging.
"""

import re
from collections.abc import Iterator
from typing import Final

_WORDS: Final = (
    r"(?:pass(?:word|wd|phrase)|secret|token|credential|authorization|cookie"
    r"|(?:api|access|private)[ _-]?key)"
)
_NAMES: Final = re.compile(_WORDS + r"[\w.-]*+")
_LONGEST_NAME: Final = 256
_SPACE: Final = r"(?:\s|\\++[nrt])*+"
_QUOTE: Final = r"(?:\\{0,15}[\"'`]|%22)"
_BETWEEN: Final = re.compile(
    rf"{_QUOTE}?(?:\[\w{{0,20}}\]|\])?"
    rf"(?:(?P<assigned>{_SPACE}(?:[:=]{{1,2}}>?|%3[ad]){_SPACE}(?:[|>][+-]?\s*\n\s*+)?)"
    r"|(?P<tag>>)"
    rf"|(?P<pair>{_SPACE},{_SPACE}{_QUOTE}?val(?:ue)?{_QUOTE}?{_SPACE}[:=]{_SPACE})"
    r"|(?P<option>[ \t]++(?!-)))"
)
"""Stands between a name and what it stands for."""
_OPENING: Final = re.compile(r"(\\{0,15})([\"'`])")
_SCHEME: Final = re.compile(r"(?:bearer|basic|token|digest|negotiate|api-?key)(?:[ \t]++|%20)")
_BARE: Final = re.compile(
    r"(?:[^\s\"'`<>,;&)\]}\\]|\\(?!\\{0,15}[\"'`])|'(?=\w)"
    # What may end it is part of it, unless something else begins there.
    r"|[,;&)\]}](?![,;&)\]}]{0,8}(?:[\s\"'`<>\\]|$)|[\w.%\[-]{1,40}\]?\s?[=:]))++"
)
_IN_TAGS: Final = re.compile(r"[^<\n]++")
_LINE: Final = re.compile(r"(?:[^\r\n\\]|\\(?!\\{0,15}[rn\"]))++")
_BRACKETS: Final = re.compile(r"[\[\]{}]")
_NAME_SIGNS: Final = "abcdefghijklmnopqrstuvwxyz0123456789_.-"
_FARTHEST: Final = 64
_COUNTS: Final = re.compile(r"tokens|token[ _-]?(?:count|limit|usage|used|budget|total)")
_NUMBER: Final = re.compile(r"-?\d{1,9}(?:\.\d{1,9})?")
_NOTHING: Final = frozenset({"", "true", "false", "null", "none", "undefined"})

_TELLING: Final = (
    "password", "passwd", "passphrase", "secret", "token", "apikey", "accesskey", "privatekey",
    "credential", "authorization", "cookie",
)  # fmt: skip


def is_telling(name: str) -> bool:
    """Whether what stands beside this name is a secret, such as `db_password` or `X-Api-Key`."""
    plain = "".join(one for one in name[:_LONGEST_NAME].casefold() if one.isalnum())
    return any(word in plain for word in _TELLING)


def is_count(name: str, value: object) -> bool:
    """Whether it says how many, as `"tokens_used": 5` does, and is no secret."""
    return (
        isinstance(value, int | float | str)
        and _NUMBER.fullmatch(str(value)) is not None
        and _COUNTS.search(name.lower()) is not None
    )


def is_option(text: object) -> bool:
    """Whether the next word of a command line is a secret, as behind `--password`."""
    return isinstance(text, str) and text.startswith("-") and "=" not in text and is_telling(text)


def masked(text: str, mask: str) -> str:
    """The text with `mask` in place of all that telling names stand for."""
    parts: list[str] = []
    begin = 0
    for first, last in _places(text, _lowered(text)):
        parts += (text[begin:first], mask)
        begin = last
    if not begin:
        return text
    parts.append(text[begin:])
    return "".join(parts)


def _places(text: str, low: str) -> Iterator[tuple[int, int]]:
    """Where secrets begin and end."""
    at = 0
    while (name := _NAMES.search(low, at)) is not None:
        at = name.end()
        between = _BETWEEN.match(low, at)
        if between is None:
            continue
        before = low[max(0, name.start() - _FARTHEST) : name.start()]
        start = len(before.rstrip(_NAME_SIGNS))
        if between["option"] is not None and not before[start:].startswith("-"):
            continue
        outer = before[start - 1] if start and before[start - 1] in "\"'`" else ""
        first, last = _place(low, name[0], between, outer)
        value = text[first:last]
        if value.lower() not in _NOTHING and not is_count(before[start:] + name[0], value):
            yield first, last
        at = max(at, last)


def _place(low: str, name: str, between: re.Match[str], outer: str) -> tuple[int, int]:
    """Where the value is. Args: outer: the quote right before the name; empty = there is none."""
    first = between.end()
    opening = _OPENING.match(low, first)
    if opening is not None:
        return opening.end(), _closed(low, opening)
    if low[first : first + 1] in ("[", "{") and not low.startswith(("{{", "{%"), first):
        return first, _balanced(low, first)
    scheme = _SCHEME.match(low, first)
    if scheme is not None:
        first = scheme.end()
    if between["tag"] is not None:
        return first, _end(_IN_TAGS, low, first, len(low))
    if name == "cookie" or (name == "authorization" and ":" in between[0]):
        closing = low.find(outer, first) if outer else -1
        return first, _end(_LINE, low, first, closing if closing >= 0 else len(low))
    return first, _end(_BARE, low, first, len(low))


def _end(pattern: re.Pattern[str], low: str, first: int, last: int) -> int:
    found = pattern.match(low, first, last)
    return first if found is None else found.end()


def _closed(low: str, opening: re.Match[str]) -> int:
    """Where a quoted text ends: each encoding doubles the backslashes and adds one for a quote."""
    depth, quote = len(opening[1]), opening[2]
    at = opening.end()
    while (found := low.find(quote, at)) >= 0:
        run = found - len(low[at:found].rstrip("\\")) - at
        if run >= depth and (run - depth) % (2 * (depth + 1)) == 0:
            return found - depth
        at = found + 1
    return len(low)


def _balanced(low: str, first: int) -> int:
    """Behind the bracket that closes the one at `first`."""
    depth = 0
    for bracket in _BRACKETS.finditer(low, first):
        depth += 1 if bracket[0] in "[{" else -1
        if not depth:
            return bracket.end()
    return len(low)


def _lowered(text: str) -> str:
    """Each letter at its own place: one capital becomes two letters."""
    return text.replace("\N{LATIN CAPITAL LETTER I WITH DOT ABOVE}", "I").lower()
