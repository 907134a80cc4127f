"""Bases made of Debian's packages, for machines that reach no container registry."""

import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path

from images import places
from images.buildah import Buildah

# What no program of ours reads; half of the base otherwise.
_LEFT_OUT = (
    *("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*"),
    "/usr/lib/*/gconv/*",
)
# The package that merges /usr on old machines would bring all of Perl; here it is born merged.
_MERGED = "usr-is-merged"
_HOOKS = "/usr/share/mmdebstrap/hooks/merged-usr"


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """A Debian with a Python.

    Attributes:
        name: the last part of its image's name.
        suite: of Debian.
        python: the suite's, `3.11`.
        packages: beside the essential ones.
    """

    name: str
    packages: tuple[str, ...]
    suite: str = "bookworm"
    python: str = "3.11"

    @property
    def image(self) -> str:
        """Its name; another recipe is another name."""
        recipe = hashlib.sha256(f"{self}{_LEFT_OUT}{_MERGED}".encode()).hexdigest()[:8]
        return f"localhost/{self.name}:{self.suite}-{recipe}"


PLAIN = Base(name="base", packages=("ca-certificates", "nftables", "python-is-python3", "python3"))
WITH_TOOLS = Base(
    name="base-tools", packages=(*PLAIN.packages, "busybox-static", "curl", "iproute2", "procps")
)
WITH_REDIS = Base(name="base-redis", packages=(*PLAIN.packages, "redis-server"))


def make(base: Base, buildah: Buildah) -> str:
    """The base's image, made when the storage has none.

    Raises:
        BuildError: mmdebstrap is missing, or Debian's archive is out of reach.
    """
    if buildah.has(base.image):
        # A recipe that changed leaves a base under another tag.
        buildah.keep(base.image)
    else:
        make_anew(base, buildah)
    return base.image


def make_anew(base: Base, buildah: Buildah) -> None:
    """The base's image, of the newest packages there are; one of that name is replaced.

    Raises:
        BuildError: mmdebstrap is missing, or Debian's archive is out of reach.
    """
    places.say(f"making {base.image} of Debian's packages: half a minute, once for this machine")
    with tempfile.TemporaryDirectory(prefix="mesh7-base-") as folder:
        archive = Path(folder, "base.tar")
        places.run(
            *("mmdebstrap", "--quiet", "--variant=minbase", f"--hook-dir={_HOOKS}"),
            f"--include={','.join((_MERGED, *base.packages))}",
            *(f"--dpkgopt=path-exclude={path}" for path in _LEFT_OUT),
            *(base.suite, str(archive)),
            more={"SOURCE_DATE_EPOCH": places.EPOCH},
        )
        buildah.import_base(base.image, archive)
