"""Brings the monitoring that tests run against real, once, into a cache: Prometheus, node_exporter, metrics-server and
kube-state-metrics.

Owns the cache's layout: ``${XDG_CACHE_HOME:-~/.cache}/peaks-scheduler/monitoring/HASH/``, where HASH is that of this
file. Prometheus and node_exporter are taken out of Debian's packages, metrics-server and kube-state-metrics are built
from their Go modules, and kwok's own metrics files come from kwok's. Assumes what ``control_plane.py`` assumes, and
Debian's apt-get and dpkg-deb where Prometheus or node_exporter is not on PATH; what is on PATH is taken as it is. Never
installs anything into the system and never starts a service: the packages are only unpacked, and apt's lists are kept
apart from the machine's. With everything in place it touches no network and returns at once.

    python tools/monitoring.py            bring what is missing
    python tools/monitoring.py --where    print "NAME PATH" for every program or file, exit 1 if one is missing
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from control_plane import KWOK, KWOK_VERSION, BuildError, find_go, progress, run_go

METRICS_SERVER = "sigs.k8s.io/metrics-server/cmd/metrics-server@v0.9.0"
KUBE_STATE_METRICS = "k8s.io/kube-state-metrics/v2@v2.15.0"
# program -> the Debian package that it lies in, as usr/bin/PROGRAM
DEBIAN = {
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "prometheus-node-exporter": "prometheus-node-exporter",
}
# what a kubelet says of its pods' use: /metrics/nodes/NAME/metrics/resource, and that an annotation sets it
METRICS = ("resource/metrics-resource.yaml", "usage/usage-from-annotation.yaml")
METRICS_FILE = "kwok-metrics.yaml"
NAMES = (*DEBIAN, "metrics-server", "kube-state-metrics", METRICS_FILE)

APT_LIMIT = 300  # [s] for one command of apt's


def say(text: str) -> None:
    print(f"monitoring: {text}", file=sys.stderr, flush=True)


def cache_folder() -> Path:
    """Folder of what this very file brings. It may not exist yet."""
    digest = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return root / "peaks-scheduler" / "monitoring" / digest[:16]


def locate(name: str) -> Path:
    """Where program (or file) ``name`` is or will be: PATH wins over the cache for what is Debian's."""
    found = shutil.which(name) if name in DEBIAN else None
    return Path(found).resolve() if found else cache_folder() / name


def missing() -> list[str]:
    """Names that are still to be brought."""
    return [name for name in NAMES if not locate(name).is_file()]


def run(argv: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "LC_ALL": "C"}
    return subprocess.run(
        argv,
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=APT_LIMIT,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def download_debian(packages: Sequence[str], folder: Path) -> None:
    """Packages from the machine's own Debian sources into ``folder``, by fresh lists that only ``folder`` holds.

    Raises:
        BuildError: apt could not; with what it said.
    """
    for private in ("state/lists/partial", "cache/archives/partial"):
        (folder / private).mkdir(parents=True)
    apart = ["-o", f"Dir::State={folder / 'state'}", "-o", f"Dir::Cache={folder / 'cache'}"]
    apart += ["-o", "Acquire::Languages=none", "-o", "APT::Sandbox::User="]
    # its exit code says nothing: a source that has nothing to do with these packages may be out of reach
    updated = run(["apt-get", "-qq", *apart, "update"], folder)
    downloaded = run(["apt-get", "-qq", *apart, "download", *packages], folder)
    if downloaded.returncode != 0:
        said = (updated.stderr + downloaded.stderr)[-2000:]
        raise BuildError(
            f"Debian's {' and '.join(packages)} could not be downloaded:\n{said}\n"
            "Check that apt-get reaches Debian's packages, or put the programs on PATH, then run it again."
        )


def unpack_debian(names: Sequence[str], out: Path) -> None:
    """Programs out of their Debian packages into ``out``; each has run once.

    Raises:
        BuildError: there is no apt-get here, or a program does not run on this machine.
    """
    packages = sorted({DEBIAN[name] for name in names})
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise BuildError(
            f"{', '.join(names)}: not on PATH, and no apt-get here to get them: install them, run it again"
        )
    say(f"unpacking Debian's {' and '.join(packages)} (nothing is installed)")
    with tempfile.TemporaryDirectory(dir=out) as temporary:
        folder = Path(temporary)
        download_debian(packages, folder)
        for package in folder.glob("*.deb"):
            run(["dpkg-deb", "-x", str(package), "unpacked"], folder)
        for name in names:
            take(folder / "unpacked" / "usr" / "bin" / name, out / name)


def take(program: Path, place: Path) -> None:
    """Moves an unpacked program to its place once it has run on this machine."""
    if not program.is_file():
        raise BuildError(f"Debian's package has no {program.name} any more: put one on PATH")
    ran = run([str(program), "--version"], program.parent)
    if ran.returncode != 0:
        raise BuildError(f"Debian's {program.name} does not run here, put one on PATH: {ran.stderr[-1000:]}")
    program.rename(place)


def build_metrics_server(go: Path, out: Path) -> None:
    with progress("metrics-server, from its Go module (once, about 3 minutes on 2 cores)"):
        run_go([str(go), "install", "-trimpath", "-ldflags", "-s -w", METRICS_SERVER], out)


def build_kube_state_metrics(go: Path, out: Path) -> None:
    """Built in a copy of its module: ``go install`` asks for the list of its versions, which not every proxy has."""
    with progress("kube-state-metrics, from its Go module (once, about 3 minutes on 2 cores)"):
        told = json.loads(run_go([str(go), "mod", "download", "-json", KUBE_STATE_METRICS], out))
        copy = out / "kube-state-metrics-source"
        shutil.copytree(told["Dir"], copy)
        for path in (copy, *copy.rglob("*")):
            path.chmod(path.stat().st_mode | 0o200)  # the module cache is read-only, and a copy as well
        program = str(out / "kube-state-metrics")
        run_go([str(go), "build", "-C", str(copy), "-trimpath", "-ldflags", "-s -w", "-o", program, "."], out)


def write_metrics(go: Path, out: Path) -> None:
    """One file with kwok's own metrics, taken from its module."""
    told = json.loads(run_go([str(go), "mod", "download", "-json", f"{KWOK}@{KWOK_VERSION}"], out))
    metrics = Path(told["Dir"]) / "kustomize" / "metrics"
    (out / METRICS_FILE).write_text("\n---\n".join((metrics / name).read_text() for name in METRICS))


def bring(names: Sequence[str]) -> None:
    """Brings ``names``; each appears in the cache whole or not at all, and one that fails leaves the others there."""
    folder = cache_folder()
    with tempfile.TemporaryDirectory(dir=folder, prefix=".building-") as temporary:
        out = Path(temporary)
        if debian := [name for name in names if name in DEBIAN]:
            unpack_debian(debian, out)
            keep(debian, out)
        for name, build in (
            (METRICS_FILE, write_metrics),
            ("metrics-server", build_metrics_server),
            ("kube-state-metrics", build_kube_state_metrics),
        ):
            if name in names:
                build(find_go(), out)
                keep([name], out)


def keep(names: Sequence[str], out: Path) -> None:
    for name in names:
        os.replace(out / name, cache_folder() / name)


def ensure() -> None:
    """Brings whatever is missing; a second call at the same time waits for the first."""
    if not missing():
        return
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if names := missing():  # the one before us may have brought them
            bring(names)
    say(f"ready in {folder}")


def where() -> int:
    """Prints where everything is; 1 if something is missing."""
    if names := missing():
        print(f"not there yet: {', '.join(names)} (make monitoring)", file=sys.stderr)
        return 1
    for name in NAMES:
        print(name, locate(name))
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description="Brings the monitoring of the tests once, outside the checkout.")
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
