"""Builds the image of the Containerfile without a registry, once for each state of its sources, into a cache.

Owns the cache's layout, ``${XDG_CACHE_HOME:-~/.cache}/peaks-scheduler/image/``: ``base-HASH.tar`` is a Debian with
Python, which replaces the Containerfile's base, so no registry is needed; ``storage`` has the builder's layers;
``HASH/root`` and ``HASH/config.json`` are the image as a folder and its configuration, where HASH covers all sources.
Needs root on Debian, as in a CI job. Elsewhere it says in one line why it does not build, which is no failure: the test
of the image is then skipped with that line. With everything in place it does not use the network.

    python tools/image.py            build it, if it can be built here
    python tools/image.py --where    print the folder of the image of these sources, exit 1 with the reason if none
"""

from __future__ import annotations

import argparse
import ast
import fcntl
import functools
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# the files that .dockerignore lets into the context
CONTEXT = ("Containerfile", ".dockerignore", "pyproject.toml", "constraints.txt", "README.md", "LICENSE")
FOLDERS = ("src", "tools/container")

SUITE = "trixie"  # the Debian of the Containerfile's base
PACKAGES = ("python3", "python3-venv", "ca-certificates")
# folders that a container's base lacks, or that nobody reads in it
LEFT_OUT = ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale")
TOOLS = ("buildah", "debootstrap")

LIMIT = 900  # [s] for one command
MOST_STORED = 4 << 30  # [B] of layers; above it they are all deleted
KEPT = 3  # images, the newest ones: several checkouts may share the cache
# pip's errors for an index that is out of reach
UNREACHED = re.compile(r"NewConnectionError|ConnectTimeoutError|Name or service not known|Temporary failure in name")
EXCEEDED = "no answer within the time"


class BuildError(Exception):
    """The image could not be built; the message says what is wrong with it."""


class NotHere(Exception):  # noqa: N818 - no error: another machine could
    """This machine cannot build an image; the message is one line that says why."""


def say(text: str) -> None:
    print(f"image: {text}", file=sys.stderr, flush=True)


# --- where ------------------------------------------------------------------------------------------------------------


def cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "peaks-scheduler" / "image"


def digest(parts: Iterator[bytes]) -> str:
    whole = hashlib.sha256()
    for part in parts:
        whole.update(len(part).to_bytes(8, "big") + part)
    return whole.hexdigest()[:16]


def sources() -> Iterator[bytes]:
    """Names, modes and contents of everything that decides what the image is."""
    files = [ROOT / name for name in CONTEXT]
    for folder in FOLDERS:
        files += sorted(path for path in (ROOT / folder).rglob("*") if path.is_file() and _counts(path))
    for path in [*files, Path(__file__).resolve()]:
        yield str(path.relative_to(ROOT)).encode()
        yield oct(path.stat().st_mode & 0o111).encode()
        yield path.read_bytes()


def _counts(path: Path) -> bool:
    return "__pycache__" not in path.parts and not any(part.endswith(".egg-info") for part in path.parts)


def place() -> Path:
    """The folder of the image of exactly these sources. It may not exist yet."""
    return cache_folder() / digest(sources())


def base_name() -> str:
    """Name of the Containerfile's base."""
    found = re.search(r"^FROM (\S+)", (ROOT / "Containerfile").read_text(), re.MULTILINE)
    if found is None:
        raise BuildError("Containerfile: expected a FROM, found none")
    return found[1]


# --- running ----------------------------------------------------------------------------------------------------------


def run(argv: Sequence[str | Path]) -> subprocess.CompletedProcess[str]:
    """Run a command in the checkout; the caller checks whether it failed."""
    env = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    command = [str(part) for part in argv]
    try:
        return subprocess.run(
            command,
            cwd=ROOT,
            env=env,
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 1, "", EXCEEDED)


def buildah(*argv: str | Path) -> str:
    """The output of buildah. Raises BuildError with the end of its errors, NotHere if pip had no network."""
    ran = run([*builder(), *argv])
    if ran.returncode != 0 and UNREACHED.search(ran.stdout + ran.stderr):
        raise NotHere("pip does not reach its index, and the build needs packages")
    if ran.returncode != 0:
        raise BuildError(f"buildah {argv[0]} failed:\n{(ran.stdout + ran.stderr)[-3000:]}")
    return ran.stdout.strip()


@functools.cache
def builder() -> Sequence[str | Path]:
    """buildah with our own storage: overlay if the file system supports it, else vfs, which copies every layer."""
    cache = cache_folder()
    for driver in ("overlay", "vfs"):
        argv = ["buildah", "--root", cache / "storage" / driver, "--runroot", cache / "run" / driver]
        argv += ["--storage-driver", driver]
        if run([*argv, "info"]).returncode == 0:
            break
    return argv


def why_not() -> str | None:
    """Why this machine cannot build and run an image, in one line; None if it may be able to."""
    if sys.platform != "linux":
        return "needs Linux"
    if os.geteuid() != 0:
        return "needs root, for another root folder and its own mounts"
    if run(["unshare", "--mount", "true"]).returncode != 0:
        return "needs the right to make mount namespaces"
    if not all(map(shutil.which, TOOLS)) and not shutil.which("apt-get"):
        return f"needs {' and '.join(TOOLS)}, or Debian's apt-get to install them"
    return None


def bring_tools() -> None:
    """Install buildah and debootstrap with apt-get if they are missing. Raises NotHere if that fails."""
    absent = [name for name in TOOLS if not shutil.which(name)]
    if not absent:
        return
    say(f"installing Debian's {' and '.join(absent)}")
    run(["apt-get", "-qq", "update"])  # its exit code says nothing: one source of many may be out of reach
    ran = run(["apt-get", "-qq", "install", "--yes", "--no-install-recommends", *absent])
    if ran.returncode != 0:
        raise NotHere(f"apt-get does not get {' and '.join(absent)}: {_last_line(ran.stderr)}")


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["(it said nothing)"])[-1]


# --- base -------------------------------------------------------------------------------------------------------------


def base_tar() -> Path:
    """A tar file of a Debian with Python and nothing else. Raises NotHere if Debian's packages are out of reach."""
    recipe = "\n".join((SUITE, *PACKAGES, *LEFT_OUT))
    tar = cache_folder() / f"base-{digest(iter([recipe.encode()]))}.tar"
    if tar.is_file():
        return tar
    say(f"a base of Debian {SUITE}'s packages (once, about 1 minute)")
    with tempfile.TemporaryDirectory(dir=cache_folder(), prefix=".base-") as temporary:
        root, partial = Path(temporary) / "root", Path(temporary) / "base.tar"
        argv = ["debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", SUITE, root, *mirror()]
        ran = run(argv)
        if ran.returncode != 0:
            raise NotHere(f"debootstrap does not get Debian {SUITE}: {_last_line(ran.stdout + ran.stderr)}")
        for name in LEFT_OUT:
            shutil.rmtree(root / name, ignore_errors=True)
        packed = run(["tar", "--numeric-owner", "--directory", root, "--create", "--file", partial, "."])
        if packed.returncode != 0:
            raise BuildError(f"tar of the base failed: {packed.stderr[-1000:]}")
        partial.replace(tar)
    return tar


def mirror() -> list[str]:
    """The mirror that this machine gets Debian's packages from; empty for debootstrap's default."""
    told = run(["apt-get", "indextargets", "--format", "$(REPO_URI)", "Label: Debian"])
    return told.stdout.split()[:1] if told.returncode == 0 else []


def has_base(name: str) -> bool:
    try:
        buildah("inspect", "--type", "image", name)
    except BuildError:
        return False
    return True


def bring_base(name: str) -> None:
    """Put the base into the builder's storage, under its name in the Containerfile."""
    tar = base_tar()
    mark = f"{name.partition(':')[0]}:{tar.stem}"  # of the very recipe
    if has_base(mark):
        return
    container = buildah("from", "scratch")
    buildah("add", "--quiet", container, tar, "/")
    for tag in (name, mark):
        buildah("commit", "--quiet", container, f"docker.io/library/{tag}")
    buildah("rm", container)


# --- image ------------------------------------------------------------------------------------------------------------


def pip_options(folder: Path) -> list[str]:
    """Options that mount this machine's pip configuration, and the files it names, into the build."""
    told = run([sys.executable, "-m", "pip", "config", "list"])
    settings: dict[str, str] = {}
    for line in told.stdout.splitlines():
        name, _, value = line.partition("=")
        settings[name.rpartition(".")[2]] = str(ast.literal_eval(value))
    file = folder / "pip.conf"
    lines = [f"{name} = {value}".replace("\n", "\n  ") for name, value in settings.items()]
    file.write_text("\n".join(["[global]", *lines, ""]))
    mounts = {str(file): "/etc/pip.conf", "/etc/ssl/certs": "/etc/ssl/certs"}
    for value in settings.values():
        mounts |= {word: word for word in value.split() if word.startswith("/") and Path(word).is_dir()}
    return [f"--volume={here}:{there}:ro" for here, there in mounts.items() if Path(here).exists()]


def build(folder: Path) -> None:
    """Build the image as a folder with ``root`` and ``config.json``; the folder appears complete or not at all."""
    started = time.monotonic()
    cache, name = cache_folder(), "peaks-scheduler:built"
    bring_base(base_name())
    say("building from the Containerfile")
    with tempfile.TemporaryDirectory(dir=cache, prefix=".building-") as temporary:
        options = ["--isolation", "chroot", "--pull-never", "--network", "host", "--layers", "--quiet"]
        buildah("bud", *options, *pip_options(Path(temporary)), "--tag", name, "--file", "Containerfile", ".")
        container = buildah("from", "--pull-never", f"localhost/{name}")
        try:
            config = json.loads(buildah("inspect", "--type", "container", container))["OCIv1"]["config"]
            (Path(temporary) / "config.json").write_text(json.dumps(config, indent=2))
            _copy(Path(buildah("mount", container)), Path(temporary) / "root")
        finally:
            buildah("rm", container)
        for old in sorted(cache.glob("[!.]*/config.json"), key=lambda path: path.stat().st_mtime)[: -KEPT + 1 or None]:
            shutil.rmtree(old.parent)
        os.rename(temporary, folder)
        Path(temporary).mkdir()  # for its own end
    folder.chmod(0o755)
    say(
        f"{_megabytes(folder / 'root')} MB of files, {_megabytes(folder / 'root/opt')} of them ours; built in "
        f"{time.monotonic() - started:.0f} s"
    )


def _copy(tree: Path, to: Path) -> None:
    copied = run(["cp", "--archive", tree, to])
    if copied.returncode != 0:
        raise BuildError(f"the image could not be copied: {copied.stderr[-1000:]}")


def _megabytes(folder: Path) -> int:
    return int(run(["du", "--summarize", "--block-size=1M", folder]).stdout.split()[0])


def forget_layers() -> None:
    """Delete all layers if they are too large: each change of the sources adds a few hundred MB."""
    storage = cache_folder() / "storage"
    if storage.is_dir() and _megabytes(storage) << 20 > MOST_STORED:
        say("the builder's layers have grown large: they are made anew")
        shutil.rmtree(storage)


def ensure() -> None:
    """Build the image of these sources if it is missing; a second call at the same time waits for the first."""
    folder = place()
    if folder.is_dir():
        return
    if reason := why_not():
        raise NotHere(reason)
    cache_folder().mkdir(parents=True, exist_ok=True)
    with (cache_folder() / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():  # the one before us may have built it
            bring_tools()
            forget_layers()
            build(folder)
    say(f"ready in {folder}")


def where() -> int:
    """Print the image's folder. Returns 1, and prints the reason, if there is none."""
    folder = place()
    if folder.is_dir():
        print(folder)
        return 0
    print(why_not() or "not built from these sources yet (make image)", file=sys.stderr)
    return 1


def main() -> int:
    parser = argparse.ArgumentParser(description="Builds the Containerfile's image without a registry.")
    parser.add_argument("--where", action="store_true", help="only print where the image is")
    if parser.parse_args().where:
        return where()
    try:
        ensure()
    except NotHere as reason:
        say(f"not built here: {reason}")
    except BuildError as error:
        say(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
