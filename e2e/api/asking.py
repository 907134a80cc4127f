"""One request to the API server as it is sent, where kubectl would read something first."""

import base64
import contextlib
import http.client
import json
import ssl
from collections.abc import Mapping
from pathlib import Path

import yaml

from e2e.cluster.clusters import Cluster

OK = http.client.OK
_MERGE = {"Content-Type": "application/merge-patch+json"}


def merge(cluster: Cluster, kubeconfig: Path, path: str, patch: object) -> tuple[int, str]:
    """A merge patch; status and body of the answer.

    Args:
        kubeconfig: whose; with a client certificate or a token inside.
    """
    return ask(cluster, kubeconfig, "PATCH", path, headers=_MERGE, body=json.dumps(patch))


def ask(
    cluster: Cluster,
    kubeconfig: Path,
    method: str,
    path: str,
    *,
    headers: Mapping[str, str],
    body: str = "",
) -> tuple[int, str]:
    """Status and body of the answer."""
    user = yaml.safe_load(kubeconfig.read_text())["users"][0]["user"]
    context = ssl.create_default_context(cafile=str(cluster.ca))
    sent = dict(headers)
    if "token" in user:
        sent["Authorization"] = f"Bearer {user['token']}"
    else:
        pair = kubeconfig.with_suffix(".pem")
        texts = (user[f"client-{part}-data"] for part in ("key", "certificate"))
        pair.write_bytes(b"".join(map(base64.b64decode, texts)))
        context.load_cert_chain(pair)
    address = cluster.url.removeprefix("https://")
    asking = http.client.HTTPSConnection(address, timeout=30, context=context)
    with contextlib.closing(asking):
        asking.request(method, path, body=body, headers=sent)
        answer = asking.getresponse()
        return answer.status, answer.read().decode()
