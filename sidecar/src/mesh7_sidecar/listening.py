"""Where a gateway may listen: sockets bound, or a clear word why not."""

import errno
import grp
import ipaddress
import os
import socket
from pathlib import Path

from mesh7_core import errors
from mesh7_sidecar.net import listener
from mesh7_sidecar.settings import Address, Settings

MINIMUM_TOKEN_BYTES = 16


def data_socket(settings: Settings) -> socket.socket | None:
    """The data listener's socket; None when only the unix socket is wanted.

    Raises:
        SettingsError: the address is taken, is none, or is beyond loopback without a token.
    """
    address = settings.listen
    if address is None:
        return None
    if settings.token_file is None and not is_loopback(address.host):
        message = (
            f"`--listen {address}` is beyond loopback, where anybody could call the tools – "
            "give `--token-file FILE`, or listen on 127.0.0.1"
        )
        raise errors.SettingsError(message)
    return bound("--listen ", address)


def admin_socket(settings: Settings) -> socket.socket | None:
    """The admin listener's socket; a default port that is taken yields to a free one.

    Raises:
        SettingsError: the address is taken or is none.
    """
    address = settings.admin
    if address is None:
        return None
    try:
        return bound("--admin ", address)
    except errors.SettingsError:
        if not settings.admin_may_move:
            raise
        return bound("--admin ", Address(address.host, 0))


def unix_socket(path: Path) -> socket.socket:
    """The socket of the state folder.

    Raises:
        SettingsError: nothing can listen there.
    """
    try:
        return listener.unix_socket(path)
    except OSError as error:
        message = f"`{path}` cannot be listened on: {error.strerror} – give another `--state`"
        raise errors.SettingsError(message) from error


def people_socket(path: Path, group: str) -> socket.socket:
    """The approvers' socket, in the state folder: for the members of a Unix group, and root.

    The folder becomes passable for the group (0710), and nothing in it readable: all else keeps
    its mode of 0600. A gateway without approvers makes the folder private again at its start.

    Raises:
        SettingsError: there is no such group, we are not in it, or nothing can listen there.
    """
    try:
        number = grp.getgrnam(group).gr_gid
    except KeyError as error:
        message = f"`--approvers {group}`: there is no such Unix group – make it with `groupadd`"
        raise errors.SettingsError(message) from error
    bound = unix_socket(path)
    try:
        # The group before the modes: the own group of whoever runs us may be anybody's.
        os.chown(path, -1, number)
        os.chown(path.parent, -1, number)
        path.chmod(0o660)
        path.parent.chmod(0o710)
    except OSError as error:
        bound.close()
        path.unlink(missing_ok=True)
        message = (
            f"`--approvers {group}`: `{path}` cannot be given to the group: {error.strerror} – "
            "add the user who runs the gateway to it"
        )
        raise errors.SettingsError(message) from error
    return bound


def read_token(path: Path | None) -> bytes | None:
    """The token that callers must send; None when none is asked for.

    Raises:
        SettingsError: the file cannot be read or holds no usable token.
    """
    if path is None:
        return None
    try:
        token = path.read_bytes().strip()
    except OSError as error:
        message = f"`--token-file {path}` cannot be read: {error.strerror}"
        raise errors.SettingsError(message) from error
    if len(token) < MINIMUM_TOKEN_BYTES or not token.isascii() or b" " in token:
        message = (
            f"`--token-file {path}` must hold one token of at least {MINIMUM_TOKEN_BYTES} ASCII "
            "characters – make one with `openssl rand -hex 32`"
        )
        raise errors.SettingsError(message)
    return token


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`; a name counts as beyond, but for localhost."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def bound(setting: str, address: Address) -> socket.socket:
    """A socket that listens.

    Args:
        setting: what the user writes before the address: `--listen ` or `MESH7_LISTEN=`.
        address: which; port 0 = a free one.

    Raises:
        SettingsError: it is taken, or none.
    """
    host = "127.0.0.1" if address.host == "localhost" else address.host
    try:
        bound = listener.tcp_socket(host, address.port)
        try:
            # At once: a bound port that nobody listens on can still be taken by another program.
            bound.listen()
        except OSError:
            bound.close()
            raise
    except (OSError, OverflowError) as error:
        why = "cannot be listened on"
        if isinstance(error, OSError):
            is_taken = error.errno == errno.EADDRINUSE
            why = "is in use by another program" if is_taken else f"fails: {error.strerror}"
        message = f"`{setting}{address}` {why} – give another address with `{setting}HOST:PORT`"
        raise errors.SettingsError(message) from error
    return bound
