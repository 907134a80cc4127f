"""Flags of `run` and `stdio` about the ledger and about who decides, read strictly."""

import grp
from pathlib import Path

import click

from mesh7_core import errors
from mesh7_core.ledger import protocol
from mesh7_sidecar import settings

REDIS_VARIABLE = "MESH7_REDIS_URL"
PASSWORD_VARIABLE = "MESH7_REDIS_PASSWORD"  # noqa: S105 - its name, not its value
MOST_PENDING = 100_000


def read_caps(context: click.Context, parameter: click.Parameter, text: str) -> protocol.Caps:
    """An option's callback: `POD,NAMESPACE`, two whole numbers, the first not above the second."""
    pod, _, namespace = text.partition(",")
    if all(part.isascii() and part.isdigit() for part in (pod, namespace)):
        found = protocol.Caps(per_pod=int(pod[:9]), per_namespace=int(namespace[:9]))
        if 1 <= found.per_pod <= found.per_namespace <= MOST_PENDING:
            return found
    message = (
        f"`{text}`: write two numbers such as `20,200`, the first not above the second,"
        f" both from 1 to {MOST_PENDING}"
    )
    raise click.BadParameter(message, ctx=context, param=parameter)


def read_group(context: click.Context, parameter: click.Parameter, name: str | None) -> str | None:
    """An option's callback: the name of a Unix group that there is."""
    if name is None:
        return None
    try:
        return grp.getgrnam(name).gr_name
    except KeyError as error:
        message = f"there is no group `{name}` on this machine – make one, or name another"
        raise click.BadParameter(message, ctx=context, param=parameter) from error


def redis(
    url: str | None, password: str | None, password_file: Path | None, ca: Path | None
) -> settings.RedisSettings | None:
    """Where the shared ledger is; None = there is none.

    Args:
        url: as written; a password in it is refused, unquoted.
        password: from our environment; a file beats it.
        password_file: its one line is the password.
        ca: certificates.

    Raises:
        SettingsError: a flag is given that means nothing without another, or a file is unreadable.
    """
    if url is None:
        if password_file is not None or ca is not None:
            flag = "--redis-password-file" if password_file is not None else "--redis-ca"
            message = f"{flag} means nothing without --redis – name the server, or leave it away"
            raise errors.SettingsError(message)
        return None
    from mesh7_core.ledger import redis_url  # noqa: PLC0415 - only for who shares a ledger

    redis_url.parse_url(url, ca_file=str(ca) if ca is not None else None)
    if password_file is not None:
        password = _password(password_file)
    if ca is not None:
        ca = ca.expanduser().absolute()
        _readable(ca, "--redis-ca")
    return settings.RedisSettings(url=url, password=password or None, ca=ca)


def _password(path: Path) -> str:
    text = _readable(path, "--redis-password-file").removesuffix("\n").removesuffix("\r")
    if not text or "\n" in text:
        message = f"--redis-password-file: `{path}` must hold one line, the password"
        raise errors.SettingsError(message)
    return text


def _readable(path: Path, flag: str) -> str:
    try:
        return path.expanduser().read_text(encoding="utf-8")
    except OSError as error:
        message = f"{flag}: `{path}` cannot be read: {error.strerror} – give a readable file"
        raise errors.SettingsError(message) from error
    except UnicodeDecodeError as error:
        message = f"{flag}: `{path}` is not UTF-8 text – give another file"
        raise errors.SettingsError(message) from error
