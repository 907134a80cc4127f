"""`python -m bench` measures calls; `… approvals` people's decisions; `… pieces` a call's parts.

`… soak` sends a million calls and looks at what is kept of them.
"""

import argparse
import importlib
import sys
import tempfile
from pathlib import Path

from bench import calls, children, contenders, envoy, gateway, report, rounds, valkey
from bench import upstream as tool_server


def main() -> int:
    """Read the flags and do what they ask."""
    if sys.argv[1:2] == ["soak"]:
        soak = importlib.import_module("bench.soak")

        return int(soak.main(sys.argv[2:]))
    asked = _arguments()
    if asked.what == "pieces":
        # The big run must not import the gateway into its own process.
        pieces = importlib.import_module("bench.pieces")

        print(pieces.markdown())
        return 0
    if asked.what == "approvals":
        approvals = importlib.import_module("bench.approvals")

        print(approvals.markdown())
        return 0
    tool_server.require_programs()
    plan = rounds.Plan(
        rounds=asked.rounds or (1 if asked.quick else 5),
        seconds=asked.seconds or (1 if asked.quick else 4),
    )
    cores = children.cores()
    with tempfile.TemporaryDirectory(prefix="mesh7-bench-") as name:
        folder = Path(name)
        with (
            tool_server.serving(cores.load, folder) as port,
            valkey.serving(cores.load, folder) as redis_port,
        ):
            chosen = _chosen(port, redis_port, folder, asked.only)
            with contenders.all_started(chosen, cores.measured, folder) as started:
                results = rounds.measure(started, plan, cores, folder)
    print(report.markdown(results, plan, f"python -m bench {' '.join(sys.argv[1:])}".strip()))
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("what", nargs="?", choices=["run", "approvals", "pieces"], default="run")
    parser.add_argument("--rounds", type=int, help="turns of every contender (5)")
    parser.add_argument("--seconds", type=int, help="of load at each step of a turn (4)")
    parser.add_argument("--quick", action="store_true", help="one round of one second each")
    parser.add_argument("--only", nargs="*", help="contenders whose name contains one of these")
    return parser.parse_args()


def _chosen(
    port: int, redis_port: int, folder: Path, only: list[str] | None
) -> list[contenders.Contender]:
    everybody = _everybody(port, redis_port, folder)
    if not only:
        return everybody
    wanted = [each for each in everybody if any(word in each.name for word in only)]
    needed = {each.shares for each in wanted}
    return [each for each in everybody if each in wanted or each.name in needed]


def _everybody(port: int, redis_port: int, folder: Path) -> list[contenders.Contender]:
    direct = contenders.Contender(
        name="direct",
        argv=(),
        port=port,
        path="/mcp",
        names=calls.Names.KNOWN,
        marker=calls.MARKER,
    )
    with_rbac = envoy.with_rbac(port, folder)
    ours = gateway.contender("mesh7", gateway.Shape(), port, folder)
    shapes = {
        "mesh7, limit in SQLite": gateway.Shape(is_limited=True),
        "mesh7, limit in Redis": gateway.Shape(is_limited=True, redis_port=redis_port),
        "mesh7, audit off": gateway.Shape(audit="off"),
        "mesh7, 1 % traced": gateway.Shape(trace_share="0.01"),
        "mesh7, all traced": gateway.Shape(trace_share="1"),
        "mesh7, 1,000 rules": gateway.Shape(rules=1_000),
        "mesh7, 10,000 rules": gateway.Shape(rules=10_000),
    }
    return [
        direct,
        _relay(port),
        envoy.plain(port, folder),
        with_rbac,
        contenders.made_up(with_rbac, envoy.DENIED),
        ours,
        contenders.made_up(ours, gateway.UNKNOWN),
        *(gateway.contender(name, shape, port, folder) for name, shape in shapes.items()),
    ]


def _relay(port: int) -> contenders.Contender:
    """The floor of any Python process in the middle; no HTTP, no policy."""
    own_port = tool_server.free_port()
    return contenders.Contender(
        name="Python byte relay",
        argv=(sys.executable, "-m", "bench.relay", str(own_port), str(port)),
        port=own_port,
        path="/mcp",
        names=calls.Names.KNOWN,
        marker=calls.MARKER,
    )


if __name__ == "__main__":
    sys.exit(main())
