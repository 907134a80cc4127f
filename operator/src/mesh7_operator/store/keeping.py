"""One node of a Redis kept as it should be: the namespaces' users, and our function library."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import hiredis

from mesh7_core.ledger import functions, redis_troubles, resp
from mesh7_core.ledger.protocol import LOST, Lost
from mesh7_operator.store import passwords, rules
from mesh7_operator.store.node import Node

_LISTED: Final = ("FUNCTION", "LIST", "LIBRARYNAME", "m7_*", "WITHCODE")
_TOGETHER: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeReport:
    """What was found and done on one node.

    Attributes:
        is_primary: None = it did not answer.
        trouble: what could not be done, for people; empty when the node is as it should be.
        made: users made anew.
        restored: users that somebody had changed; their connections were ended.
        removed: users taken away, and their connections with them.
        loaded: the function library was missing or another's, and is ours now.
        open_users: users that want no password. They are others', and left as they are; but whoever
            reaches the server may be them, and change what every namespace's calls do.
    """

    place: str
    is_primary: bool | None = None
    trouble: str = ""
    made: int = 0
    restored: tuple[str, ...] = ()
    removed: int = 0
    loaded: bool = False
    open_users: tuple[str, ...] = ()


async def keep(
    node: Node, wanted: Mapping[str, tuple[str, ...]] | None, own: rules.Own | None = None
) -> NodeReport:
    """Look what differs and change that alone.

    Args:
        node: which.
        wanted: rules by user; None = users are not ours to make.
        own: our own user, if what it may do is ours to say.
    """
    node.renew()
    role, libraries, users = await node.ask([["ROLE"], _LISTED, ["ACL", "LIST"]])
    if not isinstance(role, list) or not role:
        return NodeReport(place=node.place, trouble=_why(node, role))
    is_primary = role[0] == b"master"
    troubles = []
    loaded, trouble = await _keep_library(node, libraries, is_primary=is_primary)
    troubles.append(trouble)
    changes = rules.Changes(made={}, restored={}, removed=())
    listed: list[str] = []
    if wanted is not None:
        if isinstance(users, list):
            listed = [_text(line) for line in users]
            changes = rules.changes(wanted, listed)
            troubles.append(await _change(node, changes))
            troubles.append(await _raise(node, own, listed))
        else:
            troubles.append(f"users cannot be kept: {_why(node, users)}")
    return NodeReport(
        place=node.place,
        is_primary=is_primary,
        trouble="; ".join(filter(None, troubles)),
        made=len(changes.made),
        restored=tuple(changes.restored),
        removed=len(changes.removed),
        loaded=loaded,
        open_users=rules.open_to_all(listed),
    )


async def admit(node: Node, wanted: Mapping[str, tuple[str, ...]]) -> str:
    """Make users at once, without a look at the others; why not, or nothing."""
    return await _change(node, rules.Changes(made=wanted, restored={}, removed=()))


async def revoke(node: Node, namespace: str) -> str:
    """Take a namespace's users away, and their connections with them; why not, or nothing."""
    users = await node.tell("ACL", "USERS")
    if not isinstance(users, list):
        return _why(node, users)
    names = [_text(one) for one in users]
    owners = {name: passwords.owner_of(name) for name in names}
    gone = [name for name, owner in owners.items() if owner and owner.namespace == namespace]
    return await _change(node, rules.Changes(made={}, restored={}, removed=tuple(gone)))


async def load(node: Node) -> str:
    """See that our function library is there; why it is not, or nothing."""
    _, trouble = await _keep_library(node, await node.tell(*_LISTED), is_primary=True)
    return trouble


async def _keep_library(
    node: Node, listed: resp.Reply | Lost, *, is_primary: bool
) -> tuple[bool, str]:
    """Whether it was loaded; why it could not be, or nothing."""
    if not isinstance(listed, list):
        return False, f"functions cannot be looked at: {_why(node, listed)}"
    ours = functions.library_of(functions.written())
    present = functions.codes(listed)
    # Whoever may replace it changes what every namespace's calls do.
    if present.get(ours.name) == ours.text:
        if is_primary:
            await node.ask(
                [["FUNCTION", "DELETE", name] for name in functions.outdated(present, ours.name)]
            )
        return False, ""
    if not is_primary:
        return False, "the function library is missing: it comes from the primary"
    reply = await node.tell("FUNCTION", "LOAD", "REPLACE", ours.text)
    if isinstance(reply, bytes):
        return True, ""
    return False, f"functions cannot be loaded: {_why(node, reply)}"


async def _raise(node: Node, own: rules.Own | None, listed: Sequence[str]) -> str:
    """Give our own user what it lacks; why that could not be, or nothing."""
    if own is None or not rules.lacks(own, listed):
        return ""
    return _first_trouble(node, [await node.tell("ACL", "SETUSER", own.user, *own.words)])


async def _change(node: Node, changes: rules.Changes) -> str:
    """Why it could not be done, or nothing."""
    commands: list[Sequence[str]] = [
        # Connections of a user that is deleted end with it.
        ["ACL", "DELUSER", *changes.removed[start : start + _TOGETHER]]
        for start in range(0, len(changes.removed), _TOGETHER)
    ]
    for user, words in changes.restored.items():
        commands += [_set(user, words), ["CLIENT", "KILL", "USER", user]]
    commands += [_set(user, words) for user, words in changes.made.items()]
    return _first_trouble(node, await node.ask(commands))


def _set(user: str, words: Sequence[str]) -> list[str]:
    return ["ACL", "SETUSER", user, "reset", *words]


def _first_trouble(node: Node, replies: Iterable[resp.Reply | Lost]) -> str:
    for reply in replies:
        if isinstance(reply, Lost | hiredis.ReplyError):
            return f"users cannot be kept: {_why(node, reply)}"
    return ""


def _why(node: Node, reply: resp.Reply | Lost) -> str:
    if reply is LOST:
        return node.trouble or "it does not answer"
    if isinstance(reply, hiredis.ReplyError):
        return redis_troubles.of_error(reply)
    return "it answers something else"


def _text(reply: resp.Reply) -> str:
    return reply.decode("utf-8", "replace") if isinstance(reply, bytes) else ""
