"""Which certificate each replica of a program serves: its pods, dialled one by one."""

import asyncio
import ssl
from typing import Final

from cryptography import x509

from mesh7_operator.cluster import resources, shapes
from mesh7_operator.cluster.api_server import ApiServer

PORT: Final = 8443
NAME_LABEL: Final = "app.kubernetes.io/name"
_WITHIN_S: Final = 3.0
_AT_ONCE: Final = 8
_PORTS: Final = {
    "mesh7-injector": "admission", "mesh7-exchange": "exchange", "mesh7-redis": "redis",
}  # fmt: skip


async def served(
    api: ApiServer, namespace: str, program: str
) -> tuple[x509.Certificate | None, ...]:
    """Of each of its pods that runs; None = it could not be seen.

    Args:
        program: what the pods' label says.

    Raises:
        ClusterError: pods cannot be listed.
    """
    addresses = []
    async for pod in api.list(resources.PODS, namespace):
        is_its = shapes.text(pod, "metadata", "labels", NAME_LABEL) == program
        if is_its and shapes.text(pod, "status", "phase") == "Running":
            addresses.append((shapes.text(pod, "status", "podIP"), _port(pod, program)))
    places = asyncio.Semaphore(_AT_ONCE)

    async def one(host: str, port: int) -> x509.Certificate | None:
        async with places:
            return await seen(host, port)

    return tuple(await asyncio.gather(*(one(*address) for address in addresses)))


async def seen(host: str, port: int) -> x509.Certificate | None:
    """What is served there; None = it could not be seen."""
    # Nothing is said and nothing is believed: what is served is looked at, that is all.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    writer = None
    try:
        async with asyncio.timeout(_WITHIN_S):
            _, writer = await asyncio.open_connection(host or None, port, ssl=context)
            spoken = writer.get_extra_info("ssl_object")
            found = spoken.getpeercert(binary_form=True)
            return x509.load_der_x509_certificate(found) if host and found else None
    except (OSError, TimeoutError, ValueError):
        return None
    finally:
        if writer is not None:
            writer.transport.abort()


def _port(pod: shapes.Object, program: str) -> int:
    """That which its container names for what it does."""
    wanted = _PORTS.get(program)
    for container in shapes.sequence(pod, "spec", "containers"):
        for port in shapes.sequence(container, "ports"):
            if shapes.text(port, "name") == wanted:
                return shapes.number(port, "containerPort") or PORT
    return PORT
