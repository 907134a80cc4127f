"""What keeps an agent from passing for a person: hurdles, in the order they are looked at.

Hurdles and no wall: an agent that runs as the same user can fork away from its parent, open a
terminal of its own, or stop the gateway. The wall is another user: docs/administrator/approvers.md.
Pure: no clock, no network, no logging.
"""

from dataclasses import dataclass

from mesh7_sidecar.net.peer import Peer
from mesh7_sidecar.net.processes import Process
from mesh7_sidecar.people.accounts import Account
from mesh7_sidecar.people.clients import Clients

ROOT = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Who may decide.

    Attributes:
        own_uid: whom the gateway runs as.
        own_pid: the gateway itself, whose children are tools; None = it has none.
        approvers: the Unix group of those who may; None = the gateway's own user, and root.
        allows_scripts: a terminal is not asked for.
    """

    own_uid: int
    own_pid: int | None = None
    approvers: str | None = None
    allows_scripts: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody who may decide, and how we know.

    Attributes:
        evidence: what they used: pid, program, ancestors; for the audit.
    """

    account: Account
    evidence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks to decide.

    Attributes:
        holder: itself or the nearest of its ancestors with a connection to the agents' port.
    """

    peer: Peer
    person: Person
    holder: Process | None = None


def may_not_decide(caller: Caller, rules: Rules, clients: Clients) -> str:
    """Why this caller may not approve, deny, grant or revoke; empty when it may."""
    peer = caller.peer
    return (
        may_not_narrow(caller.person.account, rules)
        or _is_a_tools(peer, rules)
        or _is_the_agents(peer, clients)
        or _calls_tools(caller.holder, rules)
        or _has_no_terminal(peer, rules)
    )


def may_not_narrow(account: Account, rules: Rules) -> str:
    """Why this caller may not even refuse everything (`kill`); empty when it may.

    To stop an agent neither a terminal nor a clean descent is asked for: a script may, and an
    agent that stops itself does no harm.
    """
    if rules.approvers is not None:
        if rules.approvers in account.groups:
            return ""
        return (
            f"user `{account.name}` is not in group `{rules.approvers}`, whose members alone "
            "decide here – ask one of them"
        )
    if account.uid in {rules.own_uid, ROOT}:
        return ""
    return (
        f"user `{account.name}` did not start this gateway – decide as the user who did, or "
        "start it with `--approvers GROUP`"
    )


def evidence(peer: Peer) -> str:
    """How somebody spoke, in one line: `pid 71 /usr/bin/python3 < 70 /bin/zsh < 1 /sbin/init`."""
    return "pid " + " < ".join(f"{each.pid} {each.program}" for each in peer.chain)


def _is_a_tools(peer: Peer, rules: Rules) -> str:
    # Not the first: the gateway is not a child of its own.
    if not any(each.pid == rules.own_pid for each in (*peer.chain[1:], *peer.beginnings)):
        return ""
    return (
        "this command was started by this gateway, as its tools are, and a tool cannot approve – "
        "decide in a terminal of your own"
    )


def _is_the_agents(peer: Peer, clients: Clients) -> str:
    agent = clients.parent_of(peer.chain)
    if agent is not None:
        return (
            f"this command was started by `{_shown(agent)}` (process {agent.pid}), which is an MCP "
            "client of this gateway, and who asks cannot approve – decide in a terminal of your "
            "own"
        )
    if clients.is_in_terminal(peer.chain[0].terminal):
        return (
            "an MCP client of this gateway runs in this terminal, and who asks cannot approve – "
            "decide in another terminal"
        )
    return ""


def _calls_tools(holder: Process | None, rules: Rules) -> str:
    # A script that may decide may also be the one that calls: people said so with the flag.
    if holder is None or rules.allows_scripts:
        return ""
    return (
        f"`{_shown(holder)}` (process {holder.pid}), which started this command, is connected to "
        "the port that agents call, and who asks cannot approve – decide in a terminal of your own"
    )


def _has_no_terminal(peer: Peer, rules: Rules) -> str:
    if peer.has_terminal or rules.allows_scripts:
        return ""
    return (
        "this command has no terminal, so it may not be a person – decide in a terminal, or "
        "start the gateway with `--allow-scripted-approval`"
    )


def _shown(process: Process) -> str:
    return process.program.rpartition("/")[2]
