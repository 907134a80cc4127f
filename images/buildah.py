"""Buildah with a storage of our own: nothing of the machine's images is read or changed."""

import re
from pathlib import Path

from images import keeping, places
from images.keeping import Newest

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_STEP = r"(?m)^--> (?:Using cache )?([0-9a-f]{11,})$"
_NAMELESS = ("images", "--filter=dangling=true", "--no-trunc", "--format={{.ID}}")
_POLICY = '{"default": [{"type": "insecureAcceptAnything"}]}'


class Buildah:
    """One storage, below our cache.

    Attributes:
        settings: folder with the files that buildah is told by.
    """

    def __init__(self, home: Path) -> None:
        """Take up what is there, or begin."""
        self._policy = home / "policy.json"
        self._storage = home / "storage.conf"
        self._newest = home / "newest.json"
        home.mkdir(parents=True, exist_ok=True)
        self._policy.write_text(_POLICY)
        self._storage.write_text(
            "[storage]\n"
            f'driver = "{_driver(home)}"\n'
            f'graphroot = "{home}/{_driver(home)}"\n'
            f'runroot = "{home}/run"\n'
        )

    def run(self, word: str, *arguments: str) -> str:
        """One word of buildah's.

        Raises:
            BuildError: it failed.
        """
        more = {"CONTAINERS_STORAGE_CONF": str(self._storage)}
        return places.run("buildah", word, *arguments, more=more).strip()

    def has(self, name: str) -> bool:
        """Whether the storage has this image."""
        return name in self._names()

    def import_base(self, name: str, archive: Path) -> None:
        """Make an image of one layer out of a root file system."""
        container = self.run("from", "scratch")
        try:
            self.run("add", "--quiet", container, str(archive), "/")
            self.run("config", f"--env=PATH={_PATH}", container)
            self.run(
                *("commit", "--quiet", f"--signature-policy={self._policy}"),
                *(f"--timestamp={places.EPOCH}", container, name),
            )
        finally:
            self.run("rm", container)
        self.keep(name)

    def python_of(self, name: str) -> str:
        """The minor version of an image's Python; it is pulled when it is not here.

        Raises:
            BuildError: no such image, or no Python in it.
        """
        container = self.run("from", f"--signature-policy={self._policy}", name)
        try:
            asking = "import sys; print(*sys.version_info[:2], sep='.')"
            return self.run("run", "--isolation=chroot", container, "python", "-c", asking)
        finally:
            self.run("rm", container)

    def build(self, name: str, dockerfile: str, arguments: dict[str, str]) -> None:
        """Build an image from the checkout; every file in it has the same age.

        Raises:
            BuildError: a step of the Dockerfile failed.
        """
        said = self._build("--no-cache=false", name, dockerfile, arguments)
        layers = tuple(dict.fromkeys(re.findall(_STEP, said)))
        keeping.note(self._newest, Newest(name=name, layers=layers))

    def build_anew(self, name: str, dockerfile: str, arguments: dict[str, str]) -> None:
        """The same, with no layer taken over from an earlier build."""
        self._build("--no-cache", name, dockerfile, arguments)

    def _build(self, caching: str, name: str, dockerfile: str, arguments: dict[str, str]) -> str:
        return self.run(
            *("build", "--layers", caching, "--isolation=chroot", "--pull=never"),
            *(f"--signature-policy={self._policy}", f"--timestamp={places.EPOCH}"),
            *(f"--build-arg={key}={value}" for key, value in arguments.items()),
            *(f"--file={dockerfile}", f"--tag={name}", str(places.CHECKOUT)),
        )

    def keep(self, name: str) -> None:
        """Take an image for the newest of its name without tag, though nothing was built now."""
        keeping.note(self._newest, Newest(name=name))

    def tidy(self) -> None:
        """Remove what no newest build of an image stands on; nobody else may be building.

        Raises:
            BuildError: something is in use; the rest is gone.
        """
        noted = keeping.read(self._newest)
        if old := keeping.superseded(noted, self._names()):
            self.run("rmi", *old)
        nameless = self.run(*_NAMELESS).replace("sha256:", "").split()
        if unused := keeping.unused(noted, nameless):
            self.run("rmi", *unused)

    def _names(self) -> list[str]:
        return self.run("images", "--format={{.Name}}:{{.Tag}}").splitlines()

    def write(self, name: str, archive: Path) -> None:
        """Write the image as a docker-archive; it appears whole or not at all."""
        fresh = archive.with_suffix(".fresh")
        fresh.unlink(missing_ok=True)
        self.run(
            *("push", "--quiet", f"--signature-policy={self._policy}"),
            *(name, f"docker-archive:{fresh}:{name}"),
        )
        fresh.rename(archive)


def _driver(home: Path) -> str:
    """Overlayfs does not lie on overlayfs: in a container, layers are copied instead."""
    home = home.resolve()
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    under = [mount for mount in mounts if home.is_relative_to(mount[1])]
    nearest = max(under, key=lambda mount: len(mount[1]))
    return "vfs" if nearest[2] == "overlay" else "overlay"
