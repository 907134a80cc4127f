"""What went wrong with a Redis, in words for people: what happened, and what to do about it.

Pure: no clock, no network, no logging.
"""

import socket
import ssl
from typing import Final

import hiredis

_BY_CODE: Final = {
    "WRONGPASS": "it refuses the user or the password; check --redis and --redis-password-file",
    "NOAUTH": "it wants a password; give one with --redis-password-file",
    "NOPERM": "the user may not do this; give it the rules of docs/administrator/redis.md",
    "READONLY": "it is a read-only replica; point --redis at the primary",
    "OOM": "its memory is full and it takes no writes; give it more, and look at `maxmemory`",
    "MISCONF": "it cannot save to its disk and takes no writes; look into its log",
    "LOADING": "it is still loading its data; this passes by itself",
    "MASTERDOWN": "it is a replica whose primary is away; look at the fail-over",
    "NOREPLICAS": "it has too few replicas to take writes; look at `min-replicas-to-write`",
    "BUSY": "a script of somebody else runs too long; see SCRIPT KILL and FUNCTION KILL",
    "CLUSTERDOWN": "the cluster has no owner for our keys; look at CLUSTER INFO",
    "MOVED": "it is one node of a cluster and another holds our keys; point --redis at that one",
    "WRONGTYPE": "a key of ours holds what we did not write; see who else may write to it",
    "M7UNREADABLE": "a key of ours holds what we did not write; see who else may write to it",
    "M7REFUSED": "a call hangs on too many limits or grants for it; see docs/reference/limits.md",
    "NOPROTO": "it is too old; mesh7 needs Redis 7 or Valkey",
}


def of_error(error: hiredis.ReplyError) -> str:
    """An error reply; its own words only when it is none that we know, and never values."""
    text = str(error)
    code = text.partition(" ")[0]
    if code in _BY_CODE:
        return _BY_CODE[code]
    if is_missing_function(error):
        return (
            "it lacks our function library, and only a user with the right to FUNCTION can load it;"
            " see docs/administrator/redis.md, Functions"
        )
    if text.startswith("ERR unknown command"):
        return _BY_CODE["NOPROTO"]
    if "WRONGTYPE" in text:
        return _BY_CODE["WRONGTYPE"]
    return f"it answered an error (`{code[:40]}`); look into its log"


def of_loading(error: hiredis.ReplyError) -> str:
    """Why it did not take our function library."""
    return f"it does not take our function library: {of_error(error)}"


def is_forbidden(error: hiredis.ReplyError) -> bool:
    """Whether our user has no right to what was asked."""
    return str(error).startswith("NOPERM")


def is_missing_function(error: hiredis.ReplyError) -> bool:
    """Whether the function that was called is not loaded."""
    return str(error).startswith("ERR Function not found")


def is_of_a_key(error: hiredis.ReplyError) -> bool:
    """Whether one key, and nothing else, holds what we did not write."""
    return "WRONGTYPE" in str(error) or str(error).startswith("M7UNREADABLE")


def of_connecting(error: Exception) -> str:
    """Why no connection came about."""
    match error:
        case ssl.SSLCertVerificationError():
            return f"its certificate cannot be trusted ({error.verify_message}); see --redis-ca"
        case ssl.SSLError():
            return "it does not speak TLS as we do; write redis:// if it has none"
        case TimeoutError():
            return "it cannot be reached in time; check host, port and network policies"
        case socket.gaierror() | UnicodeError():
            return "its name is not known; check the host of --redis"
        case ConnectionRefusedError():
            return "nobody listens there; check host and port, and whether it runs"
        case OSError():
            return f"it cannot be reached ({error.strerror or 'no reason given'})"
        case _:
            return "it cannot be reached"
