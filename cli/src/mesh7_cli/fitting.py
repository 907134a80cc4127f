"""Text by the cells that it takes on a terminal: a wide letter takes two.

Pure: no clock, no network, no logging.
"""


def width(text: str) -> int:
    """How many it takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len  # noqa: PLC0415 - only for wide letters

    return cell_len(text)


def padded(text: str, least: int) -> str:
    """`text` in at least so many."""
    return text + " " * (least - width(text))


def cut(text: str, most: int) -> str:
    """`text` in at most so many; an ellipsis says that there is more of it."""
    if width(text) <= most:
        return text
    from rich.cells import set_cell_size  # noqa: PLC0415 - only for what is too long

    return f"{set_cell_size(text, most - 1)}…"


def folded(text: str, most: float) -> list[str]:
    """Lines of at most so many, broken between words where that is possible; one at least."""
    most = max(most, 1)
    if width(text) <= most:
        return [text]
    lines, line = list[str](), ""
    for word in text.split(" "):
        if line and width(line) + 1 + width(word) > most:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}" if line else word
        while width(line) > most:
            first = _first(line, most)
            lines.append(line[:first])
            line = line[first:]
    return [*lines, line] if line else lines


def _first(text: str, most: float) -> int:
    """How many of its letters have room, one at least."""
    count, taken = 1, width(text[0])
    while count < len(text) and (taken := taken + width(text[count])) <= most:
        count += 1
    return count
