"""``find_python.py 3.13``: prints the path of a Python of that version on this machine, or says where it looked.

It looks at the Python that runs this file, the path, pyenv's folder and uv's folder. A candidate counts only if it
starts and reports the version, since the path also has pyenv's shims of versions that are not selected. Never downloads
anything.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

LIMIT = 600.0  # [s] of one start; tens of seconds are usual where busier programs leave little of the processor


def candidates(version: str) -> Iterator[str]:
    yield sys.executable
    yield from filter(None, [shutil.which(f"python{version}")])
    home = Path.home()
    pyenv = Path(os.environ.get("PYENV_ROOT") or home / ".pyenv") / "versions"
    uv = Path(os.environ.get("UV_PYTHON_INSTALL_DIR") or home / ".local/share/uv/python")
    for folder, pattern in ((pyenv, f"{version}.*"), (uv, f"cpython-{version}.*")):
        yield from (str(found / "bin" / f"python{version}") for found in sorted(folder.glob(pattern), reverse=True))
    yield f"/usr/bin/python{version}"


def is_of(version: str, python: str) -> bool:
    code = "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])"
    try:
        ran = subprocess.run([python, "-c", code], capture_output=True, text=True, timeout=LIMIT, check=False)
    except OSError:
        return False
    return ran.stdout.strip() == version


def main(version: str) -> int:
    for python in candidates(version):
        if is_of(version, python):
            print(python)
            return 0
    print(
        f"no tests on Python {version}: expected python{version} (with venv) on the path or among pyenv's or uv's "
        "versions; found none, install one to run them",
        file=sys.stderr,
    )
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
