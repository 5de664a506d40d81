"""``oldest.py pyproject.toml``: prints constraints with each dependency at the oldest version that the file allows.

The dependencies of the package and of ``plot`` get their oldest version, the test tools that of constraints.txt. pip
chooses the versions of indirect dependencies, since an old version may need an older one than constraints.txt has.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path


def oldest(requirements: list[str]) -> dict[str, str]:
    """{name: version}"""
    found = [re.match(r"([\w.-]+)\s*>=\s*([\w.]+)", each) for each in requirements]
    return {normal(match[1]): match[2] for match in found if match}


def pinned(constraints: Path) -> dict[str, str]:
    """{name: version}"""
    lines = constraints.read_text(encoding="utf-8").splitlines()
    return {normal(name): version for name, _, version in (line.partition("==") for line in lines) if version}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def main(pyproject: Path) -> None:
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    tools = {normal(re.split(r"[<>=]", each)[0]) for each in extras["dev"]} | {"setuptools"}
    usual = pinned(pyproject.parent / "constraints.txt")
    versions = {name: version for name, version in usual.items() if name in tools}
    for name, version in sorted({**versions, **oldest(project["dependencies"] + extras["plot"])}.items()):
        print(f"{name}=={version}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
