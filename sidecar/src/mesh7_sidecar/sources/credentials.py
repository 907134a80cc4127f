"""Where the values behind `auth.key` come from; they never leave this room but in a header.

In order: a file named like the key in `--credentials DIR`, the environment variable
`MESH7_CREDENTIAL_<KEY>`, the folder's Secret `mesh7-tool-credentials`. A file is read again
whenever it changed, so that a rotation needs no restart (S6).
"""

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from mesh7_core import errors, names
from mesh7_core.policy import bundle

MAXIMUM_BYTES = 64 * 1024


class Credentials:
    """All values this gateway may use, by key. Its repr shows no value."""

    def __init__(
        self, directory: Path | None, environment: Mapping[str, str], secret: Mapping[str, str]
    ) -> None:
        self._directory = directory
        self._environment = environment
        self._secret = secret

    def __repr__(self) -> str:
        return "Credentials(…)"

    def header(self, credential: bundle.Credential, host: str) -> tuple[bytes, bytes]:
        """The header that carries a credential to its source, name in lower case.

        Args:
            credential: which, and in what form.
            host: where it would be sent; a file `<key>.hosts` beside the credential's bounds that.

        Raises:
            SettingsError: there is no value, it cannot stand in a header, or may not go there.
        """
        hosts = self._from_file(f"{credential.key}{names.HOSTS_SUFFIX}")
        if hosts is not None and host not in hosts.lower().replace(",", " ").split():
            message = (
                f"credential `{credential.key}` may not be sent to this source's host – add the "
                f"host to `{credential.key}{names.HOSTS_SUFFIX}`"
            )
            raise errors.SettingsError(message)
        value = self._value(credential.key)
        if not value or not (value.isascii() and value.isprintable()):
            message = (
                f"credential `{credential.key}` cannot stand in a header: it is empty or has "
                "characters outside printable ASCII – write the bare token into it"
            )
            raise errors.SettingsError(message)
        text = f"{credential.scheme} {value}" if credential.scheme else value
        return credential.header.lower().encode("ascii"), text.encode("ascii")

    def _value(self, key: str) -> str:
        variable = f"MESH7_CREDENTIAL_{key.upper().replace('-', '_').replace('.', '_')}"
        for found in (self._from_file(key), self._environment.get(variable), self._secret.get(key)):
            if found is not None:
                return found.strip()
        message = (
            f"credential `{key}` is missing – put it into the file `{key}` of `--credentials DIR` "
            f"or into the environment variable `{variable}`"
        )
        raise errors.SettingsError(message)

    def _from_file(self, key: str) -> str | None:
        if self._directory is None:
            return None
        # A key is checked by the compiler to be a plain file name; a second look costs nothing.
        if "/" in key or key.startswith("."):
            return None
        try:
            return _read(self._directory / key)
        except FileNotFoundError:
            return None
        except OSError as error:
            message = f"credential file `{key}` cannot be read: {error.strerror} – make it readable"
            raise errors.SettingsError(message) from error
        except ValueError as error:
            message = (
                f"credential file `{key}` holds no token – write the bare token into it, at most "
                f"{MAXIMUM_BYTES} bytes of ASCII"
            )
            raise errors.SettingsError(message) from error


def check_folder(directory: Path | None) -> None:
    """Whether credentials can be read from `directory` at all; None is fine.

    Raises:
        SettingsError: it is no folder, or may not be read.
    """
    if directory is None:
        return
    try:
        os.scandir(directory).close()
    except OSError as error:
        message = (
            f"`--credentials {directory}` cannot be read: {error.strerror} – give a folder with "
            "one file per key"
        )
        raise errors.SettingsError(message) from error


def _read(path: Path) -> str:
    """The file's text; ValueError when it is no short text."""
    # O_NONBLOCK: a named pipe must not hang us.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError
        content = file.read(MAXIMUM_BYTES + 1)
    if len(content) > MAXIMUM_BYTES:
        raise ValueError
    return content.decode()
