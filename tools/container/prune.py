"""Removes from an environment what the scheduler never imports: most of what its dependencies weigh.

Owns the list, with a reason for each line. Assumes that the image runs `peaks-scheduler` and nothing else: whoever
installs the package from a wheel gets the libraries whole. That nothing of it is missed is shown by running every
command in the pruned environment and in the image itself (tests/e2e). An entry that is not there, while its library
is, is an error: the list is then out of date. Licences and metadata stay.

    python prune.py VENV
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

NOT_IMPORTED = {
    # scipy.optimize.least_squares and scipy.special.stdtrit, and what those import; the other rooms are imported on
    # first use
    "scipy": (
        "cluster",
        "datasets",
        "differentiate",
        "fftpack",
        "integrate",
        "interpolate",
        "io",
        "misc",
        "ndimage",
        "odr",
        "signal",
        "stats",
    ),
    # what extensions are compiled with (f2py stays: `from numpy import *`, which scipy does, imports it)
    "numpy": ("_core/include", "_core/lib", "random/lib"),
}
# the libraries' own tests and what only type checkers and compilers read
NOT_READ = ("numpy/**/tests", "scipy/**/tests", "**/*.pyi", "**/*.pxd", "**/*.pyx")


def entries(packages: Path) -> Iterator[Path]:
    """What goes. SystemExit where a line of the list means nothing any more."""
    for parent, patterns in NOT_IMPORTED.items():
        if not (packages / parent).is_dir():
            continue  # no dependency any more
        for pattern in patterns:
            found = list((packages / parent).glob(pattern))
            if not found:
                sys.exit(f"prune.py: {parent}/{pattern}: expected files to leave out, found none: mend the list")
            yield from found
    for pattern in NOT_READ:
        yield from packages.glob(pattern)


def remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)  # it may have gone with its folder


def main(venv: Path) -> None:
    (packages,) = venv.glob("lib/python3*/site-packages")
    for path in list(entries(packages)):
        remove(path)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
