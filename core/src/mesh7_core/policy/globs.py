"""Globs over names: `*` is any run of characters, `?` exactly one; everything else is itself.

There is no escape and there are no character classes: `?` stands for a literal `?` or `*`.
Case counts. Matching takes at most (length of the name) x (length of the glob) steps, whatever
both hold. A glob that can match nothing is an error and never a silent non-match (D22, P7).
Pure: no clock, no network, no logging.
"""

import re
import unicodedata
from dataclasses import dataclass, field

from mesh7_core.errors import ManifestError

LONGEST_GLOB = 1024
"""Characters; it bounds what one match can cost."""

LONGEST_SOURCE_NAME = 24
"""Characters of a source's name (design 1)."""

_UNSUPPORTED = {
    "[": "there are no character classes, use `?` for one character or list the names",
    "]": "there are no character classes, use `?` for one character or list the names",
    "{": "there are no alternatives, write one glob for each",
    "}": "there are no alternatives, write one glob for each",
    "\\": "there is no escape, use `?` for one character",
}
_STARS = re.compile(r"\*+")
_UNSEEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
_SOURCE_PART = re.compile(r"(?!-)[a-z0-9*?-]+(?<!-)")


class BadGlob(ManifestError):  # noqa: N818 - says what it is
    """Text that is not a glob; the message quotes it and suggests what may have been meant."""


@dataclass(frozen=True, slots=True)
class TextGlob:
    """A glob over one undivided text: a service account, a source's own tool name.

    `*` crosses everything, dots and slashes included. Make one with `TextGlob.parse`.

    Attributes:
        text: as written.
        is_exact: only one text matches: the glob's own.
        literal_prefix: what every matching text begins with; all of it when exact, `""` for `*`.
    """

    text: str
    is_exact: bool = field(init=False, repr=False, compare=False)
    literal_prefix: str = field(init=False, repr=False, compare=False)
    _is_prefix: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        prefix = _literal_prefix(self.text)
        rest = self.text[len(prefix) :]
        # Frozen: these are read on every call and cost too much to work out each time.
        object.__setattr__(self, "is_exact", not rest)
        object.__setattr__(self, "literal_prefix", prefix)
        object.__setattr__(self, "_is_prefix", rest == "*")

    @classmethod
    def parse(cls, text: str) -> "TextGlob":
        """Read a glob.

        Raises:
            BadGlob: `text` is empty, too long, padded, or uses what globs here do not have.
        """
        _check_characters(text, text)
        return cls(text)

    def matches(self, text: str) -> bool:
        """Whether the glob stands for this text."""
        if self._is_prefix:
            return text.startswith(self.literal_prefix)
        return text == self.text if self.is_exact else _matches(self.text, text)

    def covers(self, other: "TextGlob") -> bool:
        """Whether everything that `other` matches is matched here too.

        True is a proof. False is no proof of the contrary, except when both are exact texts,
        prefixes with a final `*`, or `*`.
        """
        return _covers(self.text, other.text)


@dataclass(frozen=True, slots=True)
class NameGlob:
    """`<source glob>.<name glob>`, split at the first dot; `*` alone is every name there is.

    In the source part `*` stays before the dot; in the name part it crosses dots and slashes.
    For resources the name part is a glob over the URI. Make one with `NameGlob.parse`.

    Attributes:
        text: as written.
        source: over the source's name.
        name: over the tool's or prompt's own name, or the resource's URI.
    """

    text: str
    source: TextGlob
    name: TextGlob

    @classmethod
    def parse(cls, text: str) -> "NameGlob":
        """Read a glob.

        Raises:
            BadGlob: `text` lacks a part, or could never match a name.
        """
        if text == "*":
            everything = TextGlob("*")
            return cls(text, everything, everything)
        _check_characters(text, text)
        source, dot, name = text.partition(".")
        if not dot:
            raise BadGlob(_without_dot(text))
        _check_source_part(source, name, text)
        if not name:
            raise BadGlob(f"glob `{text}` has nothing after the dot, did you mean `{text}*`?")
        return cls(text, TextGlob(source), TextGlob(name))

    @property
    def is_exact(self) -> bool:
        """Only one name matches: the glob's own text."""
        return self.source.is_exact and self.name.is_exact

    @property
    def literal_prefix(self) -> str:
        """What the full name `<source>.<name>` of every match begins with; `""` for `*`."""
        if self.source.is_exact:
            return f"{self.source.text}.{self.name.literal_prefix}"
        return self.source.literal_prefix

    def matches(self, source: str, name: str) -> bool:
        """Whether `<source>.<name>` is meant; `source` is a source's name and has no dot."""
        return self.name.matches(name) and self.source.matches(source) and "." not in source

    def covers(self, other: "NameGlob") -> bool:
        """Whether every name that `other` matches is matched here too; see `TextGlob.covers`."""
        return self.source.covers(other.source) and self.name.covers(other.name)

    def meets(self, other: "NameGlob") -> bool:
        """Whether some name is matched by both."""
        return _meets(self.source.text, other.source.text) and _meets(
            self.name.text, other.name.text
        )


def _matches(glob: str, text: str) -> bool:
    """Match the runs between the stars one after the other, each as far left as it goes.

    Leftmost is enough: a run placed further left leaves more room for those that follow.
    """
    if "*" not in glob:
        return _stands_at(glob, text, 0) and len(glob) == len(text)
    first, *between, last = glob.split("*")
    end = len(text) - len(last)
    if end < len(first) or not _stands_at(first, text, 0) or not _stands_at(last, text, end):
        return False
    position = len(first)
    for run in between:
        position = _find(run, text, position, end)
        if position < 0:
            return False
        position += len(run)
    return True


def _stands_at(run: str, text: str, position: int) -> bool:
    """Whether `run` (with `?`, without `*`) is in `text` at this place."""
    if "?" not in run:
        return text.startswith(run, position)
    return len(text) - position >= len(run) and all(
        mark in ("?", text[position + offset]) for offset, mark in enumerate(run)
    )


def _find(run: str, text: str, start: int, end: int) -> int:
    """The first place of `run` within `text[start:end]`, or -1."""
    if "?" not in run:
        return text.find(run, start, end)
    return next(
        (place for place in range(start, end - len(run) + 1) if _stands_at(run, text, place)), -1
    )


def _covers(wide: str, narrow: str) -> bool:
    """Match `wide` against the signs of `narrow`: only a star may stand for a star.

    Bit `n` of `reached` says that what was read of `wide` can stand for `narrow[:n]`. All bits
    move at once, so even the longest globs take one step for each sign.
    """
    places = _places(narrow)
    whole = (1 << len(narrow)) - 1
    one_sign = whole & ~places.get("*", 0)
    reached = 1
    for sign in wide:
        if sign == "*":
            # All from the lowest on.
            reached = (whole << 1 | 1) & -(reached & -reached)
        else:
            reached = (reached & (one_sign if sign == "?" else places.get(sign, 0))) << 1
    return bool(reached >> len(narrow))


def _meets(one: str, other: str) -> bool:
    """From the ends backwards: bit `n` of `ahead` says that the rest of `one` can meet `other[n:]`.

    All bits move at once, as in `_covers`. Stars in a row count as one, so that a star of `other`
    hands its bit on to one place only.
    """
    other = _STARS.sub("*", other)
    places = _places(other)
    stars, marks = places.get("*", 0), places.get("?", 0)
    one_sign = ((1 << len(other)) - 1) & ~stars
    ahead = 1 << len(other)
    ahead |= ahead >> 1 & stars
    for sign in reversed(one):
        if sign == "*":
            # All up to the highest.
            ahead = (1 << ahead.bit_length()) - 1
        else:
            same = one_sign if sign == "?" else places.get(sign, 0) | marks
            ahead = (ahead >> 1 & same) | (ahead & stars)
            ahead |= ahead >> 1 & stars
    return bool(ahead & 1)


def _places(text: str) -> dict[str, int]:
    """Per sign a bit for each place where it stands."""
    found: dict[str, int] = {}
    for place, sign in enumerate(text):
        found[sign] = found.get(sign, 0) | 1 << place
    return found


def _literal_prefix(glob: str) -> str:
    star, mark = glob.find("*"), glob.find("?")
    ends = [place for place in (star, mark) if place >= 0]
    return glob[: min(ends)] if ends else glob


def _check_characters(part: str, text: str) -> None:
    if not part:
        message = "a glob is empty, write `*` for everything"
        raise BadGlob(message)
    if len(part) > LONGEST_GLOB:
        message = f"a glob has {len(part)} characters, at most {LONGEST_GLOB} are allowed"
        raise BadGlob(message)
    for character in part:
        if unicodedata.category(character) in _UNSEEN:
            message = f"a glob holds the invisible character U+{ord(character):04X}, remove it"
            raise BadGlob(message)
        if character in _UNSUPPORTED:
            raise BadGlob(f"glob `{text}` holds `{character}`: {_UNSUPPORTED[character]}")
    if part != part.strip():
        raise BadGlob(f"glob `{text}` begins or ends with a blank, did you mean `{part.strip()}`?")


def _without_dot(text: str) -> str:
    if text.strip("*") == "":
        return f"glob `{text}` has no dot, did you mean `*`?"
    return (
        f"glob `{text}` has no dot between source and name, "
        f"did you mean `{text}.*` (all of a source) or `*.{text}` (in every source)?"
    )


def _check_source_part(source: str, name: str, text: str) -> None:
    if not source:
        raise BadGlob(f"glob `{text}` has nothing before the dot, did you mean `*{text}`?")
    if not _SOURCE_PART.fullmatch(source):
        meant = re.sub(r"[^a-z0-9*?-]", "-", source.lower()).strip("-") or "*"
        raise BadGlob(
            f"glob `{text}` can match no source: names of sources are lower-case letters, digits "
            f"and inner dashes, did you mean `{meant}.{name}`?"
        )
    if len(source.replace("*", "")) > LONGEST_SOURCE_NAME:
        raise BadGlob(
            f"glob `{text}` can match no source: names of sources have at most "
            f"{LONGEST_SOURCE_NAME} characters"
        )
