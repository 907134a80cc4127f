"""JSON in its one canonical spelling: RFC 8785, but numbers stay as they were spelled.

Two parsers written in C read a body and one writes it, so that megabytes take no time that others
miss. Pure: no clock, no network, no logging.
"""

import json
import re
from typing import Final

import jiter
import orjson

# Python's integers go further than orjson's, and know no `-0`.
_ODD_INTEGER: Final = re.compile(rb"\d{19}|-0")
_UP_TO_A_WIDE_KEY: Final = re.compile(
    rb'(?:[^"]++|"(?:[^"\\]++|\\.)*+"(?!:)|"(?:[^"\\\xee-\xf4]++|\\.)*+":)*+"'
)
"""Matches canonical JSON if a key has a character from U+E000 on; in linear time."""


def spelling(body: bytes) -> bytes:
    """The canonical spelling of one JSON value: no blanks, members in order of their keys.

    Keys are ordered by UTF-16 code units and texts are escaped as little as possible. Numbers are
    not respelled: `1.0` and `1` are two values, and integers of any length keep their digits.

    Args:
        body: JSON in UTF-8.

    Raises:
        ValueError: it is not strict JSON (a key that stands twice, NaN, half a surrogate pair).
    """
    return written(read(body)).encode()


def read(body: bytes) -> object:
    """Strict JSON in UTF-8 as a value for `written`, numbers as they were spelled.

    Integers may be spellings, too: nothing is to be counted with what stands there.

    Raises:
        ValueError: it is not strict JSON.
    """
    # The strict one cannot keep spellings at this price, and the other one is not strict.
    jiter.from_json(body, allow_inf_nan=False, catch_duplicate_keys=True)
    parse_int = orjson.Fragment if _ODD_INTEGER.search(body) else int
    value: object = json.loads(body.decode(), parse_int=parse_int, parse_float=orjson.Fragment)
    return value


def written(value: object) -> str:
    """A value in canonical spelling: what `read` reads, or put together from texts and integers."""
    spelled = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    if _UP_TO_A_WIDE_KEY.match(spelled):
        # orjson orders by code points, which differs from there on.
        spelled = orjson.dumps(_ordered(value))
    return spelled.decode()


def _ordered(value: object) -> object:
    if isinstance(value, dict):
        return {key: _ordered(value[key]) for key in sorted(value, key=_by_utf_16)}
    if isinstance(value, list):
        return [_ordered(one) if isinstance(one, dict | list) else one for one in value]
    return value


def _by_utf_16(key: str) -> bytes:
    return key.encode("utf-16-be")
