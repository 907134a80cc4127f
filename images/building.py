"""From the checkout to archives: each image is built when what it is made of has changed."""

import contextlib
import fcntl
import platform
from collections.abc import Iterator
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


def _build(recipe: Recipe, base: str | None) -> None:
    buildah = Buildah(places.cache() / "containers")
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
    """A second build waits for the first, and then finds its work done."""
    places.ARCHIVES.mkdir(parents=True, exist_ok=True)
    with (places.BUILD / "images.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
