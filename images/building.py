"""From the checkout to archives: each image is built when what it is made of has changed."""

import contextlib
import fcntl
import platform
from collections.abc import Iterator, Sequence
from pathlib import Path

from images import bases, places, recipes, wheels
from images.buildah import Buildah
from images.recipes import Recipe
from images.wheels import Target


def ready(recipe: Recipe) -> Path:
    """The archive of an image on Debian's base, built when it is missing or old.

    Raises:
        BuildError: a step failed.
    """
    return build(recipe, None)


def build(recipe: Recipe, base: str | None) -> Path:
    """The archive of an image.

    Args:
        base: an image that buildah knows or may pull; None = the recipe's own, made here.

    Raises:
        BuildError: a step failed.
    """
    stamp = recipe.archive.with_suffix(".key")
    key = recipe.key(base or recipe.base.image)
    if _is_fresh(recipe.archive, stamp, key):
        return recipe.archive
    with alone():
        if not _is_fresh(recipe.archive, stamp, key):
            _build(recipe, base)
            stamp.write_text(key)
    return recipe.archive


def renew(chosen: Sequence[Recipe]) -> None:
    """Make the bases of these anew, so that their images are built on Debian's newest packages.

    Raises:
        BuildError: mmdebstrap is missing, or Debian's archive is out of reach.
    """
    with alone():
        for base in dict.fromkeys(recipe.base for recipe in chosen):
            bases.make_anew(base, _storage())
        for recipe in chosen:
            recipe.archive.with_suffix(".key").unlink(missing_ok=True)


def _storage() -> Buildah:
    return Buildah(places.cache() / "containers")


def _build(recipe: Recipe, base: str | None) -> None:
    buildah = _storage()
    standing_on = base or bases.make(recipe.base, buildah)
    if recipe.has_wheels:
        python = recipe.base.python if base is None else buildah.python_of(base)
        wheels.fill(recipe.program, Target(python=python, machine=platform.machine()))
    places.say(f"building {recipe.image}")
    arguments = {"PYTHON_IMAGE": standing_on}
    if recipe.program in wheels.MEMBERS:
        arguments |= {"VERSION": recipes.version(), "REVISION": revision()}
    buildah.build(recipe.image, recipe.dockerfile, arguments)
    buildah.write(recipe.image, recipe.archive)
    try:
        buildah.tidy()
    except places.BuildError as error:
        places.say(f"old layers stay: {error}")


def revision() -> str:
    """The commit, with `-dirty` when what the images hold differs from it."""
    try:
        commit = places.run("git", "rev-parse", "HEAD").strip()
        changed = places.run("git", "status", "--porcelain", "core", "sidecar", "operator")
    except places.BuildError:
        return "unknown"
    return f"{commit}-dirty" if changed.strip() else commit


def _is_fresh(archive: Path, stamp: Path, key: str) -> bool:
    return archive.exists() and stamp.exists() and stamp.read_text() == key


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """A second build waits for the first, and then finds its work done.

    Of another checkout, too: whoever tidies the storage may meet no image that is half made.
    """
    places.ARCHIVES.mkdir(parents=True, exist_ok=True)
    places.cache().mkdir(parents=True, exist_ok=True)
    with (places.cache() / "images.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
