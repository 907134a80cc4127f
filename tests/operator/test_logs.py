"""Logs: one JSON object a line, constant message, fields beside it."""

import io
import json
import logging
from collections.abc import Iterator

import pytest

from mesh7_operator import logs


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What is written by loggers of the operator; the root's handlers come back afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    logs.configure(stream)
    yield stream
    root.handlers[:], root.level = handlers, level


def test_a_line_has_its_message_and_fields(log: io.StringIO) -> None:
    logging.getLogger("mesh7_operator.x").info(
        "delivered", extra={"namespace": "shop", "bundle_version": 7}
    )
    line = json.loads(log.getvalue())
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "info",
        "logger": "mesh7_operator.x",
        "message": "delivered",
        "namespace": "shop",
        "bundle_version": 7,
    }


def test_a_traceback_stays_on_its_line(log: io.StringIO) -> None:
    try:
        _ = 1 / 0
    except ZeroDivisionError:
        logging.getLogger("mesh7_operator.x").exception("crashed")
    (line,) = log.getvalue().splitlines()
    assert "ZeroDivisionError" in json.loads(line)["traceback"]


def test_what_kopf_notes_is_no_news(log: io.StringIO) -> None:
    logging.getLogger("kopf.objects").info("handler succeeded")
    logging.getLogger("kopf.objects").warning("trouble", extra={"k8s_ref": {"all": "of it"}})
    (line,) = log.getvalue().splitlines()
    assert (json.loads(line)["message"], "k8s_ref" in line) == ("trouble", False)
