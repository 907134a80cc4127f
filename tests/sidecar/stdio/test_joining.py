"""What a `mesh7 stdio` is told when it cannot join the gateway that runs."""

from pathlib import Path

import pytest

from mesh7_core import errors
from mesh7_core.policy import calls
from mesh7_sidecar.net import listener, origin, pool
from mesh7_sidecar.net.exchange import Exchange
from mesh7_sidecar.net.identity import always
from mesh7_sidecar.net.sweep import Sweep
from mesh7_sidecar.stdio import joining

AGENT = calls.Agent(namespace="default", service_account="default", pod="laptop-1")


@pytest.mark.promise("A5")
@pytest.mark.parametrize(
    ("body", "told"), [(b'{"detail":"hidepid"}', ": hidepid"), (b"", ": "), (b"[]", ": ")]
)
async def test_a_refusal_is_told_and_not_tried_again(
    tmp_path: Path, body: bytes, told: str
) -> None:
    """docs/user/stdio-clients.md."""

    def refuse(exchange: Exchange) -> None:
        exchange.respond(403, [(b"content-type", b"application/json")], body)

    place = tmp_path / "s"
    server = await listener.serve(refuse, [listener.unix_socket(place)], always(AGENT))
    gateway = pool.Pool(origin.unix_origin(str(place)), Sweep())
    with pytest.raises(errors.SettingsError) as raised:
        await joining.join(gateway, [])
    assert raised.value.message.endswith(f"refused to be joined{told}")
    gateway.close()
    await server.close_gracefully(1.0)
