"""The measurement: contenders interleaved round by round, medians and spread over the rounds."""

import json
import os
import statistics
import sys
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench import calls, children, contenders

CONNECTIONS = (1, 16, 64)
RATE = 2_000
_GRACE_S = 20.0

Samples = dict[str, dict[str, list[float]]]
"""contender → measure → one figure a round."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How long is measured.

    Attributes:
        rounds: how often every contender has its turn.
        seconds: of load for each number of connections, and at the fixed rate, in a turn.
    """

    rounds: int
    seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measure of one contender.

    Attributes:
        middle: the median over the rounds.
        spread: (largest - smallest) / median.
    """

    middle: float
    spread: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """Everything that a run found.

    Attributes:
        figures: contender → measure → figure, in the order of measurement.
        load_before: the load average of one minute.
    """

    figures: dict[str, dict[str, Figure]]
    load_before: float
    load_after: float


def measure(
    started: list[contenders.Started], plan: Plan, cores: children.Cores, folder: Path
) -> Results:
    """Give every contender its turn, `plan.rounds` times."""
    load_before = os.getloadavg()[0]
    samples: Samples = defaultdict(lambda: defaultdict(list))
    for number in range(plan.rounds):
        # The order turns with the rounds, so that nobody always follows the same neighbour.
        for each in started[number % len(started) :] + started[: number % len(started)]:
            print(f"bench: round {number + 1} of {plan.rounds}: {each.contender.name}",
                  file=sys.stderr, flush=True)  # fmt: skip
            found = _turn(each, plan, cores, folder)
            for name, figure in found.items():
                samples[each.contender.name][name].append(figure)
    ordered = {each.contender.name: samples[each.contender.name] for each in started}
    figures = {who: {what: figure_of(them) for what, them in of.items()}
               for who, of in ordered.items()}  # fmt: skip
    for each in started:
        if each.ready_s is not None:
            figures[each.contender.name]["ready_s"] = Figure(middle=each.ready_s, spread=0.0)
    return Results(figures=figures, load_before=load_before, load_after=os.getloadavg()[0])


def figure_of(samples: list[float]) -> Figure:
    """The median and the spread around it."""
    middle = statistics.median(samples)
    return Figure(middle=middle, spread=(max(samples) - min(samples)) / middle if middle else 0.0)


def _turn(
    each: contenders.Started, plan: Plan, cores: children.Cores, folder: Path
) -> dict[str, float]:
    found: dict[str, float] = {}
    for connections in CONNECTIONS:
        children.settle()
        got, cpu_us = _metered(each, partial(_wrk, each, connections, plan, cores, folder))
        found[f"calls_{connections}"] = got["requests"] / got["duration_us"] * 1e6
        if connections == 1:
            found["p50_us"], found["p99_us"] = got["p50_us"], got["p99_us"]
        if connections == 16 and each.child is not None:
            found["cpu_us"] = cpu_us / got["requests"]
    children.settle()
    got, cpu_us = _metered(each, partial(_paced, each, plan, cores))
    found["paced_p50_us"], found["paced_p99_us"] = got["p50_us"], got["p99_us"]
    if each.child is not None:
        found["paced_cpu_us"] = cpu_us / got["answered"]
        found["resident_mb"] = each.child.resident_mb()
    return found


def _metered(
    each: contenders.Started, load: Callable[[], dict[str, float]]
) -> tuple[dict[str, float], float]:
    """What the load found, and the CPU time that the contender spent meanwhile."""
    before = each.child.cpu_us() if each.child is not None else 0.0
    got = load()
    if each.child is not None and not each.child.is_alive:
        raise children.died(each.child)
    _refuse_failures(each.contender, got)
    return got, (each.child.cpu_us() if each.child is not None else 0.0) - before


def _refuse_failures(contender: contenders.Contender, got: dict[str, float]) -> None:
    """Figures of answers that were not given are worth nothing; made-up names may be refused."""
    if contender.names is calls.Names.KNOWN and (got["broken"] or got["refused"]):
        raise SystemExit(
            f"bench: {contender.name}: {got['broken']:.0f} calls were lost and "
            f"{got['refused']:.0f} answers were not 200"
        )


def _wrk(
    each: contenders.Started, connections: int, plan: Plan, cores: children.Cores, folder: Path
) -> dict[str, float]:
    script = folder / "calls.lua"
    script.write_text(calls.lua(each.contender.path, each.contender.names), encoding="ascii")
    argv = ["wrk", "-t1", f"-c{connections}", f"-d{plan.seconds}s", "-s", str(script),
            f"http://127.0.0.1:{each.contender.port}"]  # fmt: skip
    printed = children.capture(argv, cores.load, plan.seconds + _GRACE_S)
    return _numbers(printed)


def _paced(each: contenders.Started, plan: Plan, cores: children.Cores) -> dict[str, float]:
    whom = each.contender
    argv = [sys.executable, "-m", "bench.paced", str(whom.port), whom.path, whom.names,
            str(RATE), str(plan.seconds)]  # fmt: skip
    return _numbers(children.capture(argv, cores.load, plan.seconds + _GRACE_S))


def _numbers(printed: str) -> dict[str, float]:
    figures: dict[str, float] = json.loads(printed.strip().splitlines()[-1])
    return figures
