"""The Secret `mesh7-tool-credentials` of a folder, and where its values may be sent.

No message quotes a value. Pure: no clock, no network, no logging.
"""

import base64
import binascii
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from mesh7_core import names
from mesh7_core.api import grants as written
from mesh7_core.api.manifests import Document
from mesh7_core.compiling.diagnostics import Findings
from mesh7_core.policy import bundle


@dataclass(frozen=True, slots=True)
class Secrets:
    """What the Secret holds; a repr shows no value.

    Attributes:
        values: by key, `.hosts` keys left out.
        hosts: by key, in lower case; a key that is not here may be sent wherever a source of the
            same folder sends it.
    """

    values: Mapping[str, str] = field(default_factory=dict, repr=False)
    hosts: Mapping[str, frozenset[str]] = field(default_factory=dict)


def read_secret(
    secret: written.CredentialsSecret, document: Document, findings: Findings
) -> Secrets:
    """Decode the Secret; `stringData` wins over `data`, as in Kubernetes."""
    found: dict[str, str] = {}
    for key, encoded in secret.data.items():
        try:
            found[key] = base64.b64decode(encoded, validate=True).decode()
        except (binascii.Error, ValueError):
            findings.error(document, ("data", key), f"the value of `{key}` is not base64 of UTF-8 "
                           "text, encode it or use `stringData`")  # fmt: skip
    found.update(secret.string_data)
    suffix = names.HOSTS_SUFFIX
    values = {key: value for key, value in found.items() if not key.endswith(suffix)}
    hosts = {
        key.removesuffix(suffix): frozenset(value.lower().replace(",", " ").split())
        for key, value in found.items()
        if key.endswith(suffix)
    }
    for key in sorted(hosts.keys() - values.keys()):
        findings.warning(
            document, (), f"`{key}{suffix}` has no `{key}` beside it, it means nothing"
        )
    return Secrets(values, hosts)


def check_credentials(
    sources: Iterable[tuple[bundle.Source, Document]], secrets: Secrets, findings: Findings
) -> None:
    """Refuse what would send a credential where it does not belong."""
    variables: dict[str, str] = {}
    for source, document in sources:
        if source.credential is None:
            continue
        key = source.credential.key
        path = ("spec", "auth", "key")
        if key in secrets.hosts and source.host not in secrets.hosts[key]:
            findings.error(document, path, f"credential `{key}` may not be sent to this source's "
                           f"host, add the host to `{key}{names.HOSTS_SUFFIX}` of the "
                           "Secret")  # fmt: skip
        variable = names.credential_variable(key)
        other = variables.setdefault(variable, key)
        if other != key:
            findings.error(document, path, f"credentials `{other}` and `{key}` would share the "
                           f"environment variable `{variable}`, rename one")  # fmt: skip
