"""Speaking with an API server that hangs up: what may have been done is not done again."""

import asyncio
import base64
import contextlib
import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml

from e2e.cluster import making, speaking
from e2e.cluster.speaking import LostAnswerError, NotSpokenError
from tests.operator.exchange import certificates
from tests.peers import speaking as peers

_KIND = {
    "resource": "configmaps", "scope": "Namespaced", "responseKind": {"kind": "ConfigMap"},
}  # fmt: skip
_ANSWERS = {
    "/api": (
        200,
        {"items": [{"metadata": {}, "versions": [{"version": "v1", "resources": [_KIND]}]}]},
    ),
    "/apis": (200, {"items": []}),
    "/api/v1/namespaces/default/configmaps/wool": (404, {"kind": "Status"}),
}
_WOOL = json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "wool"}})


@contextlib.asynccontextmanager
async def _deaf(folder: Path) -> AsyncIterator[tuple[Path, list[str]]]:
    """A kubeconfig of one that does what it is told, hangs up, and answers what it is asked.

    Beside it whatever it was told, in order.
    """
    authority = certificates.write_pair(folder / "one.pem", folder / "key.pem")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(folder / "one.pem", folder / "key.pem")
    told: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        method, path, _ = (await reader.readuntil(b"\r\n\r\n")).decode().split(" ", 2)
        if method != "GET" or path not in _ANSWERS:
            told.append(method)
            return
        status, said = _ANSWERS[path]
        body = json.dumps(said).encode()
        writer.write(b"HTTP/1.1 %d X\r\ncontent-length: %d\r\n\r\n%b" % (status, len(body), body))
        await writer.drain()
        await reader.read()

    async with peers.speaking(answer, tls=tls) as port:
        trusted = base64.b64encode(authority.encode()).decode()
        cluster = {"server": f"https://127.0.0.1:{port}", "certificate-authority-data": trusted}
        kubeconfig = folder / "config"
        kubeconfig.write_text(
            yaml.safe_dump(
                {"clusters": [{"cluster": cluster}], "users": [{"user": {"token": "t"}}]}
            )
        )
        yield kubeconfig, told


@pytest.mark.parametrize("method", ["POST", "DELETE", "PUT", "PATCH"])
async def test_a_lost_answer_to_what_changes_something_is_told(tmp_path: Path, method: str) -> None:
    """It was asked again by kubectl: what we had made ourselves was there already, or gone."""
    async with _deaf(tmp_path) as (kubeconfig, told):
        client = speaking.client(kubeconfig)
        with pytest.raises(LostAnswerError, match=f"{method} /api/v1/x was sent"):
            await asyncio.to_thread(client.ask, method, "/api/v1/x", {})
        assert told == [method]


async def test_a_lost_answer_to_a_question_is_for_kubectl_to_get(tmp_path: Path) -> None:
    async with _deaf(tmp_path) as (kubeconfig, told):
        with pytest.raises(NotSpokenError):
            await asyncio.to_thread(speaking.client(kubeconfig).ask, "GET", "/api/v1/x")
        assert told == ["GET"]


async def test_what_was_never_sent_is_for_kubectl_to_do(tmp_path: Path) -> None:
    async with _deaf(tmp_path) as (kubeconfig, told):
        client = speaking.client(kubeconfig)
    with pytest.raises(NotSpokenError):
        await asyncio.to_thread(client.ask, "POST", "/api/v1/x", {})
    assert told == []


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("create", "-f", "-"), LostAnswerError),
        (("create", "--dry-run=server", "-f", "-"), NotSpokenError),
        (("apply", "-f", "-"), NotSpokenError),
    ],
)
async def test_only_what_does_no_harm_twice_is_given_to_kubectl_after_a_lost_answer(
    tmp_path: Path, arguments: tuple[str, ...], error: type[Exception]
) -> None:
    async with _deaf(tmp_path) as (kubeconfig, told):
        with pytest.raises(error):
            await asyncio.to_thread(making.make, kubeconfig, arguments, _WOOL)
        assert told == ["POST"]
