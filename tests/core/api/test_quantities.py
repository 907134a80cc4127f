from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh7_core.api import quantities


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("500ms", timedelta(milliseconds=500)),
        ("10s", timedelta(seconds=10)),
        ("10m", timedelta(minutes=10)),
        ("1h30m", timedelta(minutes=90)),
        ("1m500ms", timedelta(seconds=60, milliseconds=500)),
        ("0s", timedelta()),
        ("8784h", timedelta(days=366)),
    ],
)
def test_durations_mean_what_they_say(text: str, expected: timedelta) -> None:
    assert quantities.parse_duration(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "10",
        "1.5h",
        "10 m",
        "m",
        "1m1h",
        "1m1m",
        "-1s",
        "1d",
        "٣s",
        "8785h",
        "00001h",
        None,
        True,
    ],
)
def test_what_is_no_duration_is_refused(text: object) -> None:
    with pytest.raises(quantities.BadQuantity):
        quantities.parse_duration(text)


@given(st.integers(0, 366 * 24 * 3600 * 1000))
def test_a_spelled_duration_reads_back_the_same(milliseconds: int) -> None:
    duration = timedelta(milliseconds=milliseconds)

    assert quantities.parse_duration(quantities.spell_duration(duration)) == duration


@pytest.mark.parametrize(
    ("text", "expected"),
    [("10Mi", 10 * 1024 * 1024), ("1k", 1000), (512, 512), ("1Gi", 1 << 30), ("999Gi", 999 << 30)],
)
def test_sizes_mean_what_they_say(text: object, expected: int) -> None:
    assert quantities.parse_size(text) == expected


@pytest.mark.parametrize(
    "text", ["", "10MB", "1.5Gi", "-1", "Mi", "1000Gi", 10**12, 1.5, None, True]
)
def test_what_is_no_size_is_refused(text: object) -> None:
    with pytest.raises(quantities.BadQuantity):
        quantities.parse_size(text)
