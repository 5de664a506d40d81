"""Brings what predicts and senses in the tests, once, into a cache: MLServer, a simulated BMC with ipmi_exporter, and
sushy-tools, a Redfish emulator.

Owns the cache's layout: ``${XDG_CACHE_HOME:-~/.cache}/peaks-scheduler/inference/HASH/``, where HASH is that of what is
to be brought. MLServer and sushy-tools each get a Python environment of their own, from PyPI, with the packages of a
pinned list. ipmi_sim, ipmi_exporter and FreeIPMI come out of Debian's packages, with the libraries that they need,
unless all of them are on PATH. Assumes a Python of ``PYTHONS`` (MLServer takes no later one) and what ``monitoring.py``
assumes of Debian. Never installs anything into the system and never starts a service.

    python tools/inference.py            bring what is missing
    python tools/inference.py --where    print "NAME PATH" for every program or folder, exit 1 if one is missing
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from control_plane import BuildError, progress
from find_python import candidates, is_of
from monitoring import run

HERE = Path(__file__).resolve().parent
# environment -> its pinned packages, and the program in it that tests start
ENVIRONMENTS = {
    "mlserver": (HERE / "inference-mlserver.txt", "mlserver"),
    "sushy-tools": (HERE / "inference-sushy-tools.txt", "sushy-emulator"),
}
PYTHONS = ("3.12", "3.11")
# program -> where its Debian package has it
DEBIAN = {
    "ipmi_sim": "usr/bin/ipmi_sim",
    "prometheus-ipmi-exporter": "usr/bin/prometheus-ipmi-exporter",
    "ipmi-sensors": "usr/sbin/ipmi-sensors",
}
PACKAGES = ("openipmi", "prometheus-ipmi-exporter", "freeipmi-tools")
# of what these depend on: libraries that a small Debian has not
LIBRARIES = re.compile(r"\b(lib(?:openipmi|freeipmi|ipmidetect|popt)[a-z0-9]*)")
UNPACKED = "debian"
INSTALL_LIMIT = 1200  # [s] for one environment


def say(text: str) -> None:
    print(f"inference: {text}", file=sys.stderr, flush=True)


def cache_folder() -> Path:
    """Folder of exactly these packages. It may not exist yet."""
    lists = b"".join(pinned.read_bytes() for pinned, _ in ENVIRONMENTS.values())
    digest = hashlib.sha256(lists + repr((PACKAGES, DEBIAN)).encode()).hexdigest()
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return root / "peaks-scheduler" / "inference" / digest[:16]


def locations() -> dict[str, Path]:
    """Where each program is or will be, and ``libraries``, the folder of the libraries of Debian's ones.

    Debian's programs count as they are on PATH where all of them are there; then ``libraries`` is an empty place.
    """
    folder = cache_folder()
    found = {name: folder / name / "bin" / program for name, (_, program) in ENVIRONMENTS.items()}
    there = {name: shutil.which(name) for name in DEBIAN}
    for name, place in DEBIAN.items():
        installed = there[name] if all(there.values()) else None
        found[name] = Path(installed) if installed else folder / UNPACKED / place
    found["libraries"] = folder / UNPACKED / "libraries"
    return found


def missing() -> list[str]:
    """Names that are still to be brought. An environment is there once its mark is."""
    places, folder = locations(), cache_folder()
    names = [name for name in ENVIRONMENTS if not (folder / name / ".ready").is_file()]
    return names + [name for name in DEBIAN if not places[name].is_file()]


# --- Python -----------------------------------------------------------------------------------------------------------


def find_python() -> str:
    """A Python that MLServer runs on. Raises BuildError where this machine has none."""
    for version in PYTHONS:
        for python in candidates(version):
            if is_of(version, python):
                return python
    raise BuildError(f"MLServer needs Python {' or '.join(PYTHONS)}: expected one on PATH, or among pyenv's or uv's")


def make_environment(name: str) -> None:
    """An environment with exactly the packages of its list, in its final place: it cannot be moved."""
    pinned, _ = ENVIRONMENTS[name]
    folder = cache_folder() / name
    shutil.rmtree(folder, ignore_errors=True)
    python = find_python()
    with progress(f"{name}, from PyPI (once, about a minute)"):
        install = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "install", "--quiet"]
        install += ["--disable-pip-version-check", "--no-deps", "--only-binary", ":all:", "-r", str(pinned)]
        for argv in ([python, "-m", "venv", "--without-pip", str(folder)], install):
            ran = subprocess.run(
                argv, capture_output=True, text=True, timeout=INSTALL_LIMIT, check=False, stdin=subprocess.DEVNULL
            )
            if ran.returncode != 0:
                raise BuildError(f"{name} could not be installed:\n{(ran.stdout + ran.stderr)[-2000:]}")
    (folder / ".ready").touch()


# --- Debian -----------------------------------------------------------------------------------------------------------


def unpack_debian() -> None:
    """Programs of Debian's packages and their libraries, side by side; each program has run once.

    Raises:
        BuildError: there is no apt-get, a package is out of reach, or a program does not run here.
    """
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise BuildError(f"{', '.join(DEBIAN)}: not on PATH, and no apt-get here to get them: install them")
    say(f"unpacking Debian's {', '.join(PACKAGES)} (nothing is installed)")
    with tempfile.TemporaryDirectory(dir=cache_folder(), prefix=".building-") as temporary:
        folder = Path(temporary)
        apart = lists_apart(folder)
        first = download(PACKAGES, folder, apart)
        depends = " ".join(run(["dpkg-deb", "-f", str(each), "Depends"], folder).stdout for each in first)
        download(sorted(set(LIBRARIES.findall(depends))), folder, apart)
        out = folder / UNPACKED
        for package in folder.glob("*.deb"):
            run(["dpkg-deb", "-x", str(package), str(out)], folder)
        gather_libraries(out)
        for place in DEBIAN.values():
            try_out(out / place, out / "libraries")
        shutil.rmtree(cache_folder() / UNPACKED, ignore_errors=True)
        out.rename(cache_folder() / UNPACKED)


def lists_apart(folder: Path) -> list[str]:
    """Options that keep apt's lists in ``folder``; they are fetched now."""
    for private in ("state/lists/partial", "cache/archives/partial"):
        (folder / private).mkdir(parents=True)
    apart = ["-o", f"Dir::State={folder / 'state'}", "-o", f"Dir::Cache={folder / 'cache'}"]
    apart += ["-o", "Acquire::Languages=none", "-o", "APT::Sandbox::User="]
    # its exit code says nothing: a source that has nothing to do with these packages may be out of reach
    run(["apt-get", "-qq", *apart, "update"], folder)
    return apart


def download(packages: Sequence[str], folder: Path, apart: Sequence[str]) -> list[Path]:
    """Files of these packages. Raises BuildError."""
    before = set(folder.glob("*.deb"))
    downloaded = run(["apt-get", "-qq", *apart, "download", *packages], folder)
    if downloaded.returncode != 0:
        raise BuildError(
            f"Debian's {' and '.join(packages)} could not be downloaded:\n{downloaded.stderr[-2000:]}\n"
            "Check that apt-get reaches Debian's packages, or put the programs on PATH, then run it again."
        )
    return sorted(set(folder.glob("*.deb")) - before)


def gather_libraries(out: Path) -> None:
    """``out/libraries`` has every shared library that was unpacked, whatever folder its architecture has."""
    libraries = out / "libraries"
    libraries.mkdir()
    for found in (out / "usr" / "lib").glob("*/*.so.*"):
        found.rename(libraries / found.name)


def try_out(program: Path, libraries: Path) -> None:
    """Raises BuildError where the program cannot be loaded on this machine."""
    if not program.is_file():
        raise BuildError(f"Debian's package has no {program.name} any more: put one on PATH")
    ran = run(["env", f"LD_LIBRARY_PATH={libraries}", str(program), "--help"], program.parent)
    if ran.returncode == 127 or "shared libraries" in ran.stderr:
        raise BuildError(f"Debian's {program.name} does not run here, put one on PATH: {ran.stderr[-1000:]}")


# --- all of it --------------------------------------------------------------------------------------------------------


def ensure() -> None:
    """Brings whatever is missing; a second call at the same time waits for the first."""
    if not missing():
        return
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        names = missing()  # what the one before us has not brought
        if any(name in DEBIAN for name in names):
            unpack_debian()
        for name in (name for name in ENVIRONMENTS if name in names):
            make_environment(name)
    say(f"ready in {folder}")


def where() -> int:
    """Prints where everything is; 1 if something is missing."""
    if names := missing():
        print(f"not there yet: {', '.join(names)} (make inference)", file=sys.stderr)
        return 1
    for name, place in locations().items():
        print(name, place)
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description="Brings MLServer, a simulated BMC and a Redfish emulator for tests.")
    parser.add_argument("--where", action="store_true", help="only print where they are")
    if parser.parse_args().where:
        return where()
    try:
        ensure()
    except (BuildError, subprocess.TimeoutExpired) as error:
        say(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
