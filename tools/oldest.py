"""``oldest.py pyproject.toml``: prints constraints.txt with each direct dependency at the oldest version allowed.

Owns that one change: what is not a direct dependency keeps its pinned version, and so do the tools of the tests.
matplotlib is one of them and of the plots: the extra's minimum counts.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path


def oldest(pyproject: Path) -> dict[str, str]:
    """{name: version} of the dependencies of the package and of its plots."""
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["plot"]]
    found = [re.match(r"([\w.-]+)\s*>=\s*([\w.]+)", each) for each in wanted]
    return {normal(match[1]): match[2] for match in found if match}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def main(pyproject: Path) -> None:
    versions = oldest(pyproject)
    for line in (pyproject.parent / "constraints.txt").read_text(encoding="utf-8").splitlines():
        name, pinned, _ = line.partition("==")
        version = versions.get(normal(name)) if pinned else None
        print(f"{name}=={version}" if version else line)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
