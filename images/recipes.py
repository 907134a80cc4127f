"""The images that there are, and what each is made of."""

import hashlib
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from images import bases, places, wheels
from images.bases import Base


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One image.

    Attributes:
        program: names its wheelhouse, and `requirements/PROGRAM.txt` where it has wheels.
        image: its name, with tag.
        dockerfile: from the checkout's root.
        base: what it stands on here; in the world the Dockerfile says what.
    """

    program: str
    image: str
    dockerfile: str
    base: Base = bases.PLAIN
    has_wheels: bool = True

    @property
    def archive(self) -> Path:
        """Where it is written to."""
        return places.ARCHIVES / f"{self.image.rpartition('/')[2].replace(':', '-')}.tar"

    def key(self, base: str) -> str:
        """A hash of all that decides what the image holds; the commit is not of that."""
        digest = hashlib.sha256(base.encode())
        for path in self._inputs():
            digest.update(f"{path.relative_to(places.CHECKOUT)}\0".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        return digest.hexdigest()

    def _inputs(self) -> Iterator[Path]:
        yield places.CHECKOUT / self.dockerfile
        yield places.CHECKOUT / "images" / "inside.py"
        yield places.CHECKOUT / "images" / "wheels.py"
        for name in ("pip", self.program) if self.has_wheels else ():
            yield places.CHECKOUT / "requirements" / f"{name}.txt"
        for member in wheels.MEMBERS.get(self.program, ()):
            home = places.CHECKOUT / member
            yield from (home / "pyproject.toml", home / "LICENSE")
            sources = (path for path in (home / "src").rglob("*") if path.is_file())
            yield from sorted(path for path in sources if "__pycache__" not in path.parts)


def version() -> str:
    """The release's, as all distributions have it."""
    project = tomllib.loads((places.CHECKOUT / "operator" / "pyproject.toml").read_text())
    return str(project["project"]["version"])


def product() -> tuple[Recipe, ...]:
    """What is released."""
    return tuple(
        Recipe(
            program=program,
            image=f"localhost/mesh7-{program}:{version()}",
            dockerfile=f"Dockerfile.{program}",
        )
        for program in ("operator", "sidecar")
    )


def all_of_them() -> tuple[Recipe, ...]:
    """The product's, then those of its tests."""
    return (
        *product(),
        Recipe(
            program="agent",
            image="localhost/agent:1",
            dockerfile="images/agent/Dockerfile",
            base=bases.WITH_TOOLS,
        ),
        Recipe(
            program="redis",
            image="localhost/redis:7",
            dockerfile="images/redis/Dockerfile",
            base=bases.WITH_REDIS,
            has_wheels=False,
        ),
    )
