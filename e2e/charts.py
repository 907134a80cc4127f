"""What the charts render, and what is written from it: `python -m e2e.charts` (`make charts`).

Three things are committed and must not drift: a rendering of each set of values for tests that have
no Helm, the kinds in their chart, and the page of values.
"""

import functools
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from e2e import chart_values
from e2e.cluster import binaries
from e2e.cluster.waiting import ClusterError

ROOT = Path(__file__).parents[1]
CHART = ROOT / "charts" / "mesh7"
CRDS_CHART = ROOT / "charts" / "mesh7-crds"
SETS = ROOT / "tests" / "charts" / "values"
GOLDENS = ROOT / "tests" / "golden" / "charts"
PAGE = ROOT / "docs" / "reference" / "helm-values.md"
RELEASE, NAMESPACE = "mesh7", "mesh7-system"
_KEEP = "  annotations: {helm.sh/resource-policy: keep}\n"
_METADATA = "metadata:\n"


VERSION = (f"--kube-version={binaries.version().removeprefix('v')}",)
"""For words of Helm that ask no cluster: a Helm of our own build does not know one."""


def helm(*arguments: str) -> str:
    """What Helm says without a cluster.

    Raises:
        ClusterError: it refuses, with its words.
    """
    done = subprocess.run(
        [str(binaries.folder() / "helm"), *arguments],
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise ClusterError(f"helm {arguments[0]} – exit {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def template(chart: Path, *flags: str, release: str = RELEASE) -> str:
    """What Helm renders for a release in `mesh7-system`.

    Raises:
        ClusterError: it refuses, with its words.
    """
    return helm("template", release, str(chart), f"--namespace={NAMESPACE}", *VERSION, *flags)


@functools.cache
def rendered(name: str) -> str:
    """Of one set of values, by its name in `tests/charts/values`."""
    files = [SETS / f"{name}.yaml"]
    if (more := CHART / f"values-{name}.yaml").exists():
        files.insert(0, more)
    return template(CHART, *(f"--values={file}" for file in files))


def documents(name: str = "default") -> list[dict[str, Any]]:
    """The objects of one set."""
    return [one for one in yaml.safe_load_all(rendered(name)) if one]


def sets() -> list[str]:
    """Names of all sets of values."""
    return sorted(path.stem for path in SETS.glob("*.yaml"))


def written() -> dict[Path, str]:
    """Every file that is made from the charts, and what should be in it."""
    kinds = {
        CRDS_CHART / "templates" / path.name: kept(path.read_text())
        for path in sorted((ROOT / "crds").glob("*.yaml"))
    }
    goldens = {GOLDENS / f"{name}.yaml": rendered(name) for name in sets()}
    page = {PAGE: chart_values.page((CHART / "values.yaml").read_text())}
    return {**kinds, **goldens, **page}


def kept(text: str) -> str:
    """A kind as the chart has it: it stays when the chart is uninstalled, and objects with it."""
    return text.replace(_METADATA, f"{_METADATA}{_KEEP}", 1)


def main() -> int:
    """Write what is not as it should be."""
    for path, text in written().items():
        if not path.exists() or path.read_text() != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            sys.stdout.write(f"wrote {path.relative_to(ROOT)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
