"""Pictures of terminals in the documentation; `python -m tests.architecture.pictures` draws them.

`docs/pictures/NAME.txt` is what was typed and answered, `NAME.svg` what of it is shown.
"""

import html
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.architecture import tree

FOLDER: Final = tree.ROOT / "docs" / "pictures"
_WIDTH: Final = 8.4
_HEIGHT: Final = 18
_EDGE: Final = 20
_BAR: Final = 36
_COLOURS: Final = {"typed": "#e6edf3", "wrong": "#ff7b72", "waits": "#d29922", "done": "#3fb950"}
_STYLE: Final = (
    "text{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;white-space:pre;"
    "fill:#9da7b1}" + "".join(f".{kind}{{fill:{colour}}}" for kind, colour in _COLOURS.items())
)


def texts() -> list[Path]:
    """What there is to be drawn."""
    return sorted(FOLDER.glob("*.txt"))


def drawn(text: str) -> str:
    """The picture as SVG; it refers to nothing outside of itself."""
    lines = text.splitlines()
    width = round(2 * _EDGE + _WIDTH * max(map(len, lines)))
    height = _BAR + _EDGE + _HEIGHT * len(lines)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">',
            f"<style>{_STYLE}</style>",
            f'<rect width="{width}" height="{height}" rx="8" fill="#0d1117"/>',
            *_lights(),
            *_rows(lines),
            "</svg>\n",
        ]
    )


def _lights() -> Iterator[str]:
    for place, colour in enumerate(("#ff5f57", "#febc2e", "#28c840")):
        yield f'<circle cx="{_EDGE + 18 * place}" cy="20" r="6" fill="{colour}"/>'


def _rows(lines: list[str]) -> Iterator[str]:
    for number, line in enumerate(lines):
        if line:
            y = _BAR + _HEIGHT * (number + 1)
            said = html.escape(line)
            yield f'<text x="{_EDGE}" y="{y}" class="{_kind(line)}">{said}</text>'


def _kind(line: str) -> str:
    if line.startswith("$ "):
        return "typed"
    if line.startswith("error:"):
        return "wrong"
    if line.startswith("approved ") or line.endswith((" ok", ": sound")):
        return "done"
    return "waits" if " pending " in line or "◆" in line else "said"


if __name__ == "__main__":
    for source in texts():
        source.with_suffix(".svg").write_text(drawn(source.read_text("utf-8")), "utf-8")
