"""Who is at the other end of a connection, as far as the socket can tell: a `calls.Agent`."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from mesh7_core.policy.calls import Agent
from mesh7_sidecar.net import heads

AGENT_HEADER: Final = b"x-mesh7-agent"
LABEL_HEADER: Final = b"x-mesh7-label"


def always(agent: Agent) -> Callable[[heads.RequestHead], Agent]:
    """Everybody on this listener is `agent`; what a request says of itself is ignored."""
    return lambda _head: agent


def joined(base: Agent) -> Callable[[heads.RequestHead], Agent]:
    """Believe `x-mesh7-agent` and `x-mesh7-label: key=value` (any number of labels).

    For the unix socket alone, whose mode lets nobody but its owner in. Without `x-mesh7-agent`
    the caller is `base`; with it, it is that agent with the labels given and no others.
    """

    def identify(head: heads.RequestHead) -> Agent:
        agent = head.header(AGENT_HEADER)
        if agent is None:
            return base
        labels = dict(_label(value) for name, value in head.headers if name == LABEL_HEADER)
        return replace(base, service_account=_text(agent), labels=labels)

    return identify


def _label(value: bytes) -> tuple[str, str]:
    key, equals, text = _text(value).partition("=")
    if not equals or not key:
        raise heads.BadHead(400, "header `x-mesh7-label` is not of the form `key=value`")
    return key, text


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise heads.BadHead(400, "an `x-mesh7-` header is not UTF-8") from error
