"""JSON in its one canonical spelling: RFC 8785, but numbers stay as they were spelled.

Pure: no clock, no network, no logging.
"""

import json

import jiter


def spelling(body: bytes) -> bytes:
    """The canonical spelling of one JSON value: no blanks, members in order of their keys.

    Keys are ordered by UTF-16 code units and texts are escaped as little as possible. Numbers are
    not respelled: `1.0` and `1` are two values, and integers of any length keep their digits.

    Args:
        body: JSON in UTF-8.

    Raises:
        ValueError: it is not strict JSON (a key that stands twice, NaN, half a surrogate pair).
    """
    value: object = jiter.from_json(
        body, allow_inf_nan=False, catch_duplicate_keys=True, float_mode="lossless-float"
    )
    return written(value).encode()


def written(value: object) -> str:
    """A parsed value in canonical spelling; floats must be `jiter.LosslessFloat`."""
    match value:
        case dict():
            members = sorted(value.items(), key=_order)
            return "{" + ",".join(f"{text(key)}:{written(inner)}" for key, inner in members) + "}"
        case list():
            return "[" + ",".join(map(written, value)) + "]"
        case str():
            return text(value)
        case None | bool():
            return json.dumps(value)
        case _:
            return str(value)


def text(value: str) -> str:
    """A text as JSON, escaped as RFC 8785 says."""
    return json.dumps(value, ensure_ascii=False)


def _order(member: tuple[str, object]) -> bytes:
    return member[0].encode("utf-16-be")
