"""What a namespace's user of Redis may do, as ACL rules, and whether a server has it so.

Pure: no clock, no network, no logging.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from mesh7_core.ledger import redis_layout
from mesh7_operator.store import passwords

COMMANDS: Final = (
    "fcall", "getrange", "hello", "ping", "subscribe",
    # Those that the functions use on the user's behalf.
    "del", "get", "hdel", "hexists", "hget", "hgetall", "hlen", "hset", "hstrlen", "incr", "lindex",
    "lrange", "lset", "ltrim", "persist", "pexpire", "publish", "rpush", "set", "time", "zadd",
    "zcard", "zcount", "zrange", "zrem", "zremrangebyscore", "zscore",
)  # fmt: skip
"""Never FUNCTION, SCRIPT or EVAL: what is loaded there changes every tenant's calls."""
_SELECT: Final = "select"
# Servers write these by themselves.
_UNSAID: Final = frozenset({"sanitize-payload"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What to do with a server's users so that they are as they should be.

    Attributes:
        made: users to make, with their rules.
        restored: users that somebody changed, with the rules that they shall have.
        removed: users whose generation or namespace has passed.
    """

    made: Mapping[str, tuple[str, ...]]
    restored: Mapping[str, tuple[str, ...]]
    removed: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Own:
    """The operator's own user, where the operator says what it may do: at the Redis of the release.

    Attributes:
        words: its rules, without `on` and password.
    """

    user: str
    words: tuple[str, ...]


def lacks(own: Own, listed: Sequence[str]) -> bool:
    """Whether it may do less than it needs: an earlier release made it, that needed less.

    Args:
        own: who, and what it needs.
        listed: the answer of ACL LIST; a user that is not in it lacks nothing that can be given.
    """
    each = [line.split(" ") for line in listed]
    held = [words[2:] for words in each if words[:2] == ["user", own.user]]
    given = [word for word in own.words if word[0] in "+~&"]
    return any(not set(given) <= set(words) for words in held)


def rules_of(namespace: str, password: str, *, database: int = 0) -> tuple[str, ...]:
    """The rules of a namespace's user, in the order in which servers list them.

    Args:
        database: other than 0, the user also needs SELECT.
    """
    commands = (*COMMANDS, _SELECT) if database else COMMANDS
    return (
        "on",
        f"#{passwords.hashed(password)}",
        f"~m7:{{{namespace}}}:*",
        f"%R~m7b:{{{namespace}}}:*",
        "resetchannels",
        f"&m7:{{{namespace}}}:*",
        f"&m7b:{{{namespace}}}:delivered",
        "-@all",
        *(f"+{command}" for command in commands),
        # What it says it has said: nothing there is ever read, changed or trimmed by its writer.
        f"(%W~{redis_layout.Layout(namespace).audit_inbox} resetchannels -@all +rpush)",
    )


def changes(wanted: Mapping[str, tuple[str, ...]], listed: Sequence[str]) -> Changes:
    """What differs.

    Args:
        wanted: rules by user.
        listed: the answer of ACL LIST; users that do not bear a name of ours are left alone.
    """
    found = {}
    for line in listed:
        words = _words(line)
        if len(words) > 1 and words[0] == "user" and passwords.owner_of(words[1]) is not None:
            found[words[1]] = words[2:]
    return Changes(
        made={user: rules for user, rules in wanted.items() if user not in found},
        restored={
            user: rules
            for user, rules in wanted.items()
            if user in found and not _is_as(rules, found[user])
        },
        removed=tuple(sorted(found.keys() - wanted.keys())),
    )


def open_to_all(listed: Sequence[str]) -> tuple[str, ...]:
    """Users that whoever reaches the server may be without a password, and that may do something.

    Servers ship with one: `default`, which may do everything.
    """
    each = [line.split(" ") for line in listed]
    return tuple(
        words[1]
        for words in each
        if len(words) > 1
        and {"on", "nopass"} <= set(words[2:])
        and any("+" in word for word in words[2:])
    )


def _words(line: str) -> list[str]:
    """A line of ACL LIST; what stands in one pair of parentheses is one word."""
    outside, opened, inside = line.partition(" (")
    return [*outside.split(" "), *([opened[1:] + inside] if opened else [])]


def _is_as(wanted: Sequence[str], listed: Sequence[str]) -> bool:
    """Whether these are those rules; the order of what is added to nothing does not matter."""
    said = [word for word in listed if word not in _UNSAID]
    start = wanted.index("-@all")
    return (
        len(said) == len(wanted)
        and said[: start + 1] == list(wanted[: start + 1])
        and set(said) == set(wanted)
    )
