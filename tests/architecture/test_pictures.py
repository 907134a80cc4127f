"""The pictures of the documentation show what stands beside them."""

from tests.architecture import pictures


def test_every_picture_is_drawn_of_its_text() -> None:
    """Issue 7: a terminal's picture in the README; `python -m tests.architecture.pictures`."""
    found = {one.name: one.with_suffix(".svg").read_text("utf-8") for one in pictures.texts()}
    assert found
    assert found == {one.name: pictures.drawn(one.read_text("utf-8")) for one in pictures.texts()}


def test_a_picture_obeys_nothing_that_its_text_says() -> None:
    assert "<script" not in pictures.drawn("$ <script>\n")
