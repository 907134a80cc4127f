"""`python -m images build`, `wheelhouse`, `plugin` and `krew`; see docs/developer/images.md."""

import argparse
import platform
import sys
from collections.abc import Sequence

from images import building, places, recipes, wheels
from images.places import BuildError
from images.plugin import archive, krew

_DEBIAN = "debian"
_DIST = places.CHECKOUT / "dist"


def main(arguments: Sequence[str]) -> int:
    """Do one word; 1 when it could not be done, with the reason on stderr."""
    asked = _parser().parse_args(arguments)
    try:
        if asked.word == "wheelhouse":
            _fill(asked.python, asked.machine)
        elif asked.word == "plugin":
            _pack(asked.python or archive.PYTHONS)
        elif asked.word == "krew":
            _offer(asked.address, asked.homepage)
        else:
            _build(asked.base, asked.names, renewing=asked.fresh_base)
    except BuildError as error:
        places.say(str(error))
        return 1
    return 0


def _fill(python: str, machine: str) -> None:
    for recipe in recipes.product():
        with building.alone():
            folder = wheels.fill(recipe.program, wheels.Target(python=python, machine=machine))
        sys.stdout.write(f"{folder.relative_to(places.CHECKOUT)}\n")


def _pack(pythons: Sequence[str]) -> None:
    for made in archive.make(_DIST, pythons):
        sys.stdout.write(f"{made.relative_to(places.CHECKOUT)}\n")


def _offer(address: str, homepage: str) -> None:
    written = places.BUILD / "krew" / "mesh7.yaml"
    written.parent.mkdir(parents=True, exist_ok=True)
    written.write_text(krew.manifest(_DIST, address, homepage))
    sys.stdout.write(f"{written.relative_to(places.CHECKOUT)}\n")


def _build(base: str, names: Sequence[str], *, renewing: bool) -> None:
    ours = base == _DEBIAN
    if renewing and not ours:
        raise BuildError(f"--fresh-base: means nothing with --base {base}, which is not made here")
    known = recipes.all_of_them() if names or ours else recipes.product()
    chosen = [recipe for recipe in known if not names or recipe.program in names]
    if renewing:
        building.renew(chosen)
    for recipe in chosen:
        archive = building.build(recipe, None if ours else base)
        sys.stdout.write(f"{recipe.image}  {archive.relative_to(places.CHECKOUT)}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m images", description=__doc__)
    words = parser.add_subparsers(dest="word", required=True)
    fill = words.add_parser("wheelhouse", help="fetch what a `docker build` installs")
    fill.add_argument("--python", default="3.13", help="of the base image (default: 3.13)")
    fill.add_argument("--machine", default=platform.machine(), help="x86_64 or aarch64")
    plugin = words.add_parser("plugin", help="make dist/kubectl-mesh7.pyz and its archive")
    plugin.add_argument("--python", action="append", help="a Python it runs with; all without")
    offer = words.add_parser("krew", help="write build/krew/mesh7.yaml of the archives in dist/")
    offer.add_argument("--address", required=True, help="where people fetch the archives from")
    offer.add_argument("--homepage", required=True, help="of the project")
    build = words.add_parser("build", help="build the images with buildah, archives included")
    build.add_argument("--base", default=_DEBIAN, help="`debian` = made here; or an image's name")
    build.add_argument("--fresh-base", action="store_true", help="with Debian's newest packages")
    names = sorted(recipe.program for recipe in recipes.all_of_them())
    build.add_argument("names", nargs="*", choices=[*names, []], help="all when none is named")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
