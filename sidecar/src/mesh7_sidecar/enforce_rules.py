"""Rules that let nobody but the sidecar out of a pod's network, and whether they are in force.

Pure: no clock, no network, no logging.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from mesh7_core import errors

TABLE: Final = ("inet", "mesh7")
_VARIABLE: Final = "MESH7_USER"
_MOST_USER: Final = 2**32 - 2
_FROM_OUTSIDE: Final = 0x6D371
_OF_SIDECAR: Final = 0x6D372
"""Connections are marked by whoever opened them; marks of sockets and packets ask for NET_ADMIN."""

_GROUP: Final = "0xff0200000000000000000001ff"
"""No auxiliary words, no sources, and how each group begins by which an address is looked for."""

# The order is the argument; docs/administrator/enforcement.md says what each rule is for.
# Whoever joins a group has the kernel tell the network of it. What passes are reports (MLDv2) of up
# to three records, without sources, of groups that stand for addresses: three bytes of each record
# are free. The kernel puts those of a pod's own addresses into one report.
_RULES: Final = """\
add table inet mesh7
delete table inet mesh7
table inet mesh7 {{
    counter refused {{ }}
    limit groups {{ rate 2/second burst 10 packets; }}
    chain arriving {{
        type filter hook prerouting priority -150; policy accept;
        iifname != "lo" ct state new ct mark set {outside} comment "opened from outside"
    }}
    chain forward {{
        type filter hook forward priority 0; policy drop;
    }}
    chain output {{
        type filter hook output priority 0; policy drop;
        meta skuid != {user} ct mark {sidecar} goto refusal comment "in a stranger's name"
        oifname "lo" accept comment "loopback"
        ct direction reply ct state established,related ct mark {outside} accept comment "answers"
        meta skuid {user} ct mark set {sidecar} accept comment "the sidecar"
        meta skuid != {user} goto refusal comment "everybody else"
        meta l4proto tcp ct direction original ct state established ct mark {sidecar} \
accept comment "ends of the sidecar's connections"
        icmpv6 type {{ 133, 135, 136 }} ip6 hoplimit 255 accept comment "neighbours"
        icmpv6 type 143 @th,48,16 1 @th,72,128 {group} \
limit name groups accept comment "a group of neighbours"
        icmpv6 type 143 @th,48,16 2 @th,72,128 {group} @th,232,128 {group} \
limit name groups accept comment "two groups"
        icmpv6 type 143 @th,48,16 3 @th,72,128 {group} @th,232,128 {group} @th,392,128 {group} \
limit name groups accept comment "three groups"
        goto refusal comment "the rest"
    }}
    chain refusal {{
        counter name refused comment "counted"
        meta l4proto tcp reject with tcp reset comment "TCP"
        reject with icmpx type admin-prohibited comment "other protocols"
    }}
}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chain:
    """One, as nft lists it.

    Attributes:
        hook: `output 0 drop`: where it stands, with priority and policy; empty = nowhere.
        rules: comment and verdict of each, in order.
    """

    hook: str
    rules: tuple[str, ...] = ()


def user(environment: Mapping[str, str]) -> int:
    """Who alone may leave: the sidecar's number.

    Raises:
        SettingsError: the variable is missing, no number, or root's.
    """
    text = environment.get(_VARIABLE, "").strip()
    found = int(text) if text.isascii() and text.isdigit() and len(text) < 11 else 0  # noqa: PLR2004
    if not 0 < found <= _MOST_USER:
        raise errors.SettingsError(
            f"{_VARIABLE}: `{text}` is no user's number above 0 – the injector sets it; see "
            "docs/administrator/enforcement.md"
        )
    return found


def ruleset(sidecar: int) -> str:
    """What nft loads: in one transaction it replaces the table that may be there."""
    return _RULES.format(user=sidecar, outside=_FROM_OUTSIDE, sidecar=_OF_SIDECAR, group=_GROUP)


def difference(listed: bytes, sidecar: int) -> str | None:
    """What in the table is not as it is meant, in words; None = nothing.

    Compared are chains, hooks, priorities, policies, the order of rules with their verdicts, and
    whom the owner's rules name: what every version of nft spells alike.

    Args:
        listed: of `nft --json --numeric list table inet mesh7`.
    """
    found = _chains(listed)
    meant = _meant(sidecar)
    for name in sorted(meant.keys() | found.keys()):
        if meant.get(name) != found.get(name):
            return f"the chain `{name}` is missing, or not the one that was meant"
    return None


def _meant(sidecar: int) -> dict[str, _Chain]:
    return {
        "arriving": _Chain(hook="prerouting -150 accept", rules=("opened from outside: mangle",)),
        "forward": _Chain(hook="forward 0 drop"),
        "output": _Chain(
            hook="output 0 drop",
            rules=(
                f"in a stranger's name != {sidecar}: goto refusal",
                "loopback: accept",
                "answers: accept",
                f"the sidecar == {sidecar}: accept",
                f"everybody else != {sidecar}: goto refusal",
                "ends of the sidecar's connections: accept",
                "neighbours: accept",
                "a group of neighbours: accept",
                "two groups: accept",
                "three groups: accept",
                "the rest: goto refusal",
            ),
        ),
        "refusal": _Chain(
            hook="", rules=("counted: counter", "TCP: reject", "other protocols: reject")
        ),
    }


def _chains(listed: bytes) -> dict[str, _Chain]:
    """The chains that are listed; none when nft says something else altogether."""
    try:
        said: object = json.loads(listed)
    except ValueError:
        return {}
    hooks: dict[str, str] = {}
    rules: dict[str, list[str]] = {}
    match said:
        case {"nftables": [*objects]}:
            for each in objects:
                _sort(each, hooks, rules)
        case _:
            pass
    return {
        name: _Chain(hook=hook, rules=tuple(rules.get(name, ()))) for name, hook in hooks.items()
    }


def _sort(each: object, hooks: dict[str, str], rules: dict[str, list[str]]) -> None:
    match each:
        case {"chain": {"name": str(name), "hook": hook, "prio": priority, "policy": policy}}:
            hooks[name] = f"{hook} {priority} {policy}"
        case {"chain": {"name": str(name)}}:
            hooks[name] = ""
        case {"rule": {"chain": str(name), "comment": comment, "expr": [*parts]}}:
            rules.setdefault(name, []).append(f"{comment}{_owner(parts)}: {_verdict(parts[-1])}")
        case {"rule": {"chain": str(name)}}:
            rules.setdefault(name, []).append("not ours")
        case _:
            pass  # the table itself, its counter, what nft says of its version


def _owner(parts: Sequence[object]) -> str:
    for part in parts:
        match part:
            case {"match": {"op": op, "left": {"meta": {"key": "skuid"}}, "right": right}}:
                return f" {op} {right}"
            case _:
                pass
    return ""


def _verdict(part: object) -> str:
    match part:
        case {"goto": {"target": target}}:
            return f"goto {target}"
        case {**words} if len(words) == 1:
            return str(next(iter(words)))
        case _:
            return ""
