"""What people ask of a running gateway: held requests, decisions, standing grants, the stop."""

from collections.abc import Mapping
from pathlib import Path

from mesh7_cli import gateway, ids, options, reading
from mesh7_cli.backend import ANY, Object, Pin, Voice

REQUESTS = "/control/requests"
GRANTS = "/control/grants"
KILL = "/control/kill"
WATCH = "/control/watch"
VOICE = Voice(program="mesh7", complaint="mesh7: ")


class Control:
    """The gateway of one state folder, as `backend.Backend` wants it.

    It refuses by `RefusedError`, `UnknownError`, `LedgerError` and `GatewayError`.
    """

    def __init__(self, running: gateway.Gateway) -> None:
        self.running = running

    @property
    def voice(self) -> Voice:
        """Of `mesh7`."""
        return VOICE

    def requests(self, state: str) -> list[Object]:
        """The requests that are `open`, or `all` that are remembered; oldest first."""
        return reading.objects(self.running.ask("GET", f"{REQUESTS}?state={state}"), "requests")

    def request(self, identifier: str) -> Object:
        """One request."""
        return self._one("GET", identifier, "", None)

    def decide(
        self,
        verb: str,
        identifier: str,
        reason: str,
        *,
        unseen: bool = False,  # noqa: ARG002 - `show` shows all that the gateway keeps
        pin: Pin = ANY,  # noqa: ARG002 - the gateway gives none of its ids twice
    ) -> Object:
        """Say `approve` or `deny` to one request; the request after it."""
        return self._one("POST", identifier, f"/{verb}", {"reason": reason})

    def hint(self) -> str:
        """Nothing: whoever answers is the gateway that was named."""
        return ""

    def grants(self) -> list[Object]:
        """All standing grants and vetoes."""
        return reading.objects(self.running.ask("GET", GRANTS), "grants")

    def grant(self, wish: Mapping[str, object]) -> Object:
        """Make a standing grant; what it became."""
        return self.running.ask("POST", GRANTS, wish)

    def kill(self, agent: str | None, reason: str) -> Object:
        """Refuse every call of `agent`, None = of everybody; the veto that does it."""
        return self.running.ask("POST", KILL, {"agent": agent, "reason": reason})

    def revoke(self, name: str) -> Object:
        """End one standing grant or veto; what it was."""
        return ids.found(
            "grant",
            name,
            lambda: self.running.ask("DELETE", f"{GRANTS}/{name}"),
            lambda: [reading.text(one, "name") for one in self.grants()],
            VOICE.command("grants"),
        )

    def _one(
        self, method: str, identifier: str, rest: str, body: Mapping[str, object] | None
    ) -> Object:
        return ids.found(
            "request",
            identifier,
            lambda: self.running.ask(method, f"{REQUESTS}/{identifier}{rest}", body),
            lambda: [reading.text(one, "id") for one in self.requests("open")],
            VOICE.command("requests"),
        )


def at(directory: Path, state: Path | None) -> Control:
    """The gateway that the options `--dir` and `--state` name."""
    return Control(gateway.Gateway(options.state_folder(directory, state)))
