"""The verb `revoke`: end standing grants, vetoes and kills, each by its whole name."""

from collections.abc import Sequence

from mesh7_cli import deciding, exits, ids, output, reading
from mesh7_cli.backend import Backend


def run(backend: Backend, names: Sequence[str]) -> exits.Exit:
    """End each; OK only when every one was ended."""

    def end(name: str) -> str:
        was = backend.revoke(name)
        if request := reading.text(was, "request"):
            return output.visible(
                f"took back `{reading.text(was, 'name')}`, an answer to request `{request}`"
            )
        if reading.text(was, "effect") == "Deny":
            return output.visible(
                f"lifted `{reading.text(was, 'name')}`: its calls are judged again"
            )
        return output.visible(f"revoked `{reading.text(was, 'name')}`")

    return deciding.each(ids.whole(names, backend.voice.program), end, backend.voice)
