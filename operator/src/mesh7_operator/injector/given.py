"""What a release gives each of its pods: settings, the key to trust, the exchange's authorities.

Mounted files, for they are needed with each pod and change seldom.
"""

from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from mesh7_core import errors
from mesh7_core.delivery import keys, spelled
from mesh7_core.injection import settings as injection
from mesh7_operator import settings
from mesh7_operator.mounted import File, Look

_TRUST_FILE: Final = "key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """All of it.

    Attributes:
        trust_key: base64.
        authorities: PEM; empty where there is no exchange.
        api_server: its address as pods see it; empty = not known.
    """

    settings: injection.Settings
    trust_key: str
    authorities: str
    api_server: str = ""


class Files:
    """Where it lies."""

    def __init__(self, chosen: settings.Injector) -> None:
        self._settings = File(chosen.injection, "--settings-file", _settings)
        self._trust_key = File(chosen.trust / _TRUST_FILE, "--trust-directory", _trust_key)
        self._api_server = chosen.api_server
        self._authorities: File[str] | None = None
        if chosen.authorities is not None:
            self._authorities = File(chosen.authorities, "--authorities-file", _authorities)

    @property
    def had(self) -> dict[str, bool]:
        """What is there, for whoever asks why pods are not taken."""
        found = self._settings.value
        needs_authorities = found is None or found.exchange is not None
        has_authorities = self._authorities is not None and self._authorities.value is not None
        return {
            "has_settings": found is not None,
            "has_trust_key": self._trust_key.value is not None,
            "has_authorities": has_authorities or not needs_authorities,
        }

    @property
    def given(self) -> Given | None:
        """What is in use; None = something is still missing."""
        found, trust_key = self._settings.value, self._trust_key.value
        authorities = None if self._authorities is None else self._authorities.value
        if found is None or trust_key is None:
            return None
        if found.exchange is None:
            authorities = ""
        if authorities is None:
            return None
        return Given(
            settings=found,
            trust_key=trust_key,
            authorities=authorities,
            api_server=self._api_server,
        )

    @property
    def looks(self) -> tuple[Look, ...]:
        """What keeps it fresh."""
        found = [
            Look(what="settings", refresh=self._settings.refresh),
            Look(what="trust key", refresh=self._trust_key.refresh),
        ]
        if self._authorities is not None:
            found.append(Look(what="authorities", refresh=self._authorities.refresh))
        return tuple(found)


def _settings(content: bytes) -> injection.Settings:
    try:
        return injection.read(content.decode())
    except UnicodeDecodeError as error:
        raise errors.SettingsError("is no UTF-8 text") from error


def _trust_key(content: bytes) -> str:
    text = content.decode(errors="replace").strip()
    if spelled.from_base64(text, keys.KEY_BYTES) is None:
        raise errors.SettingsError(f"is not the base64 of a key's {keys.KEY_BYTES} bytes")
    return text


def _authorities(content: bytes) -> str:
    """The certificates alone: a private key that lies beside them must reach no pod."""
    try:
        found = x509.load_pem_x509_certificates(content)
    except ValueError as error:
        raise errors.SettingsError(f"holds no PEM certificates: {error}") from error
    return "".join(one.public_bytes(Encoding.PEM).decode() for one in found)
