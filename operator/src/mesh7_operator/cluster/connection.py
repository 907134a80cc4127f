"""How the API server is reached: the pod's service account, or a kubeconfig in development."""

import base64
import binascii
import ssl
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import aiohttp

from mesh7_core import errors
from mesh7_core.api import reading
from mesh7_operator import settings
from mesh7_operator.cluster import shapes

ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where the kubelet mounts the service account."""
_CONNECT_S: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """One API server, and who we are to it.

    Attributes:
        url: `https://host:port`, no slash at its end.
        tls: its authority, and our client certificate when that is who we are.
        token_file: read at each request, for the kubelet rotates it; None = no such token.
        token: a token that stays the same; empty = none. No repr shows it.
    """

    url: str
    tls: ssl.SSLContext | None = field(repr=False)
    token_file: Path | None = None
    token: str = field(default="", repr=False)

    def session(self, traces: Sequence[aiohttp.TraceConfig] = ()) -> aiohttp.ClientSession:
        """A session of the running event loop that says who we are with each request."""
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=self.tls or True),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S),
            middlewares=(self._identify,),
            trace_configs=list(traces),
            headers={"User-Agent": "mesh7-operator"},
        )

    async def _identify(
        self, request: aiohttp.ClientRequest, go_on: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        token = self.token
        if self.token_file is not None:
            token = self.token_file.read_text(encoding="ascii").strip()
        if token:
            request.headers["Authorization"] = f"Bearer {token}"
        return await go_on(request)


def connect(cluster: settings.Cluster) -> Connection:
    """What the settings say.

    Raises:
        SettingsError: the kubeconfig or the service account cannot be used.
    """
    if cluster.kubeconfig is not None:
        return from_kubeconfig(cluster.kubeconfig)
    if not cluster.in_cluster_url:
        raise errors.SettingsError(
            "KUBERNETES_SERVICE_HOST: is not set, so this is no pod; name a --kubeconfig"
        )
    try:
        tls = ssl.create_default_context(cafile=ACCOUNT / "ca.crt")
    except OSError as error:
        raise errors.SettingsError(
            f"`{ACCOUNT}/ca.crt`: cannot be read: {error}; mount the pod's service account"
        ) from error
    return Connection(url=cluster.in_cluster_url, tls=tls, token_file=ACCOUNT / "token")


def from_kubeconfig(path: Path) -> Connection:
    """The current context of a kubeconfig: client certificates and tokens, no plugins.

    Raises:
        SettingsError: it cannot be read, or names no server.
    """
    try:
        written = [text.value for text in reading.read(path.read_text(encoding="utf-8"))]
        config = written[0] if written else {}
        context = shapes.mapping(_named(config, "contexts", shapes.text(config, "current-context")))
        server = shapes.mapping(
            _named(config, "clusters", shapes.text(context, "context", "cluster")), "cluster"
        )
        user = shapes.mapping(
            _named(config, "users", shapes.text(context, "context", "user")), "user"
        )
        return _connection(path, server, user)
    except (OSError, errors.ManifestError, UnicodeDecodeError, ValueError) as error:
        raise errors.SettingsError(f"--kubeconfig `{path}`: cannot be used: {error}") from error


def _connection(path: Path, server: shapes.Object, user: shapes.Object) -> Connection:
    url = shapes.text(server, "server").rstrip("/")
    if not url:
        raise errors.SettingsError(
            f"--kubeconfig `{path}`: its current context names no server; choose another context"
        )
    tls = None
    if url.startswith("https:"):
        authority = _inline(path, server, "certificate-authority")
        tls = ssl.create_default_context(cadata=authority.decode("ascii") if authority else None)
        _load_certificate(tls, path, user)
    return Connection(
        url=url,
        tls=tls,
        token=shapes.text(user, "token"),
        token_file=Path(file) if (file := shapes.text(user, "tokenFile")) else None,
    )


def _load_certificate(tls: ssl.SSLContext, path: Path, user: shapes.Object) -> None:
    certificate = _inline(path, user, "client-certificate")
    key = _inline(path, user, "client-key")
    if not certificate or not key:
        return
    # OpenSSL reads certificates of ours from files alone; the file is private, and gone at once.
    with tempfile.NamedTemporaryFile() as file:
        file.write(certificate + b"\n" + key)
        file.flush()
        tls.load_cert_chain(file.name)


def _inline(path: Path, entry: shapes.Object, name: str) -> bytes:
    inline = shapes.text(entry, f"{name}-data")
    if inline:
        try:
            return base64.b64decode(inline, validate=True)
        except binascii.Error as error:
            raise ValueError(f"`{name}-data` is no base64") from error
    file = shapes.text(entry, name)
    return (path.parent / file).read_bytes() if file else b""


def _named(config: object, section: str, name: str) -> object:
    for entry in shapes.sequence(config, section):
        if shapes.text(entry, "name") == name:
            return entry
    raise ValueError(f"`{section}` has no `{name}`")
