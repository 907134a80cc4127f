"""`python -m mesh7_sidecar.enforce`: close a pod's network to all but the sidecar, and prove it.

The init container of level Enforced: root with NET_ADMIN alone, before anything else of the pod.
It succeeds only when the rules are in force, so that no agent starts without them.
"""

import errno
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from typing import Final

from mesh7_core import errors
from mesh7_sidecar import enforce_rules

_PAGE: Final = "see docs/administrator/enforcement.md"
_PATIENCE_S: Final = 10.0
_REFUSAL_S: Final = 2.0
# Addresses for documentation: nobody has them, so a try that is not refused reaches nobody.
_NOBODY: Final = (
    (socket.AF_INET, socket.SOCK_STREAM, "192.0.2.1"),
    (socket.AF_INET, socket.SOCK_DGRAM, "192.0.2.1"),
    (socket.AF_INET6, socket.SOCK_STREAM, "2001:db8::1"),
    (socket.AF_INET6, socket.SOCK_DGRAM, "2001:db8::1"),
)
_DISCARD: Final = 9
_REFUSED: Final = (errno.ECONNREFUSED, errno.EPERM, errno.EACCES, errno.EHOSTUNREACH)
_NO_WAY: Final = (errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EINVAL)
"""No route, no address, or no such family in this kernel: nothing leaves by it either."""


def enforce(environment: Mapping[str, str]) -> str:
    """Load the rules, read them back and try them.

    Returns:
        What was done, in words.

    Raises:
        SettingsError: they are not in force; with what to do.
    """
    sidecar = enforce_rules.user(environment)
    _nft("-f", "-", stdin=enforce_rules.ruleset(sidecar))
    listed = _nft("--json", "--numeric", "list", "table", *enforce_rules.TABLE)
    if (difference := enforce_rules.difference(listed, sidecar)) is not None:
        raise errors.SettingsError(
            f"the table inet mesh7 is not what was loaded: {difference} – does somebody else write "
            f"rules in this pod? {_PAGE}"
        )
    for family, kind, address in _NOBODY:
        _must_be_refused(family, kind, address)
    return f"nobody but user {sidecar} leaves this pod"


def _nft(*arguments: str, stdin: str = "") -> bytes:
    try:
        done = subprocess.run(  # noqa: S603 - our own words
            ["nft", *arguments],  # noqa: S607 - where it lies is the image's business
            input=stdin.encode(),
            capture_output=True,
            check=False,
            timeout=_PATIENCE_S,
        )
    except FileNotFoundError as error:
        raise errors.SettingsError(f"nft is missing – use mesh7's own image; {_PAGE}") from error
    except subprocess.TimeoutExpired as error:
        raise errors.SettingsError(f"nft took more than {_PATIENCE_S:.0f} s; {_PAGE}") from error
    if done.returncode != 0:
        raise errors.SettingsError(_why(done.stderr.decode(errors="replace")))
    return done.stdout


def _why(told: str) -> str:
    first = next((line.strip() for line in told.splitlines() if line.strip()), "it says nothing")
    if "not permitted" in told:
        return (
            f"nft: {first} – the container needs the user 0 and the capability NET_ADMIN: does a "
            f"Pod Security level or another admission take them away? {_PAGE}"
        )
    return (
        f"nft: {first} – the node's kernel needs the modules nf_tables, nft_ct, nft_limit and "
        f"nft_reject_inet: load them there, or lower the namespace's level; {_PAGE}"
    )


def _must_be_refused(family: int, kind: int, address: str) -> None:
    """Try to leave as root, who is not the sidecar."""
    shown = f"{'TCP' if kind == socket.SOCK_STREAM else 'UDP'} to {address}"
    try:
        with socket.socket(family, kind) as trying:
            trying.settimeout(_REFUSAL_S)
            trying.connect((address, _DISCARD))
            if kind == socket.SOCK_DGRAM:
                trying.send(b"")
    except OSError as error:
        if error.errno in (*_REFUSED, *_NO_WAY):
            return
        raise errors.SettingsError(
            f"{shown} was not refused at once ({error}) – the rules are loaded, but not in force; "
            f"{_PAGE}"
        ) from error
    raise errors.SettingsError(
        f"{shown} was let out – the rules are loaded, but not in force; {_PAGE}"
    )


if __name__ == "__main__":
    try:
        sys.stdout.write(f"mesh7-enforce: {enforce(os.environ)}\n")
    except errors.Mesh7Error as problem:
        sys.exit(f"mesh7-enforce: {problem.message}")
