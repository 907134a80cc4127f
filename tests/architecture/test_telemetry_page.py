"""docs/reference/telemetry.md says what the code's own tables say."""

import pytest

from mesh7_core.telemetry.table import INSTRUMENTS
from tests.architecture import telemetry_page


@pytest.mark.promise("T4")
def test_the_page_is_as_the_tables_say() -> None:
    """Issue 8: generated from the same table that the code uses; `make docs` writes it."""
    assert telemetry_page.PAGE.read_text() == telemetry_page.page()


def test_no_instrument_is_named_twice_and_each_is_explained() -> None:
    """Prometheus takes two families of one name for one."""
    families = [one.family for one in INSTRUMENTS]
    assert sorted(set(families)) == sorted(families)
    assert [one.family for one in INSTRUMENTS if not one.help] == []


def test_every_label_says_its_values_or_why_they_are_few() -> None:
    """Design 11: bounded labels."""
    loose = [
        (one.family, label.name)
        for one in INSTRUMENTS
        for label in one.labels
        if not (label.values or label.bound)
    ]
    assert loose == []
