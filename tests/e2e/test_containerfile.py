"""The Containerfile: pinned, non-root, and with two build steps, which are run here as the script that they are.

No container engine is assumed: what the image would hold beside them (the base, the copied environment) is read from
the file. The image itself is run by ``test_image.py``, where one can be built.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from peaks_scheduler import __version__

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "tools" / "container" / "install.sh"
VENV = "/opt/venv"
STEPS = ("dependencies", "package")


def instructions() -> list[tuple[str, str]]:
    """(keyword, arguments) in order, comments out and continued lines joined."""
    text = "\n".join(line for line in (ROOT / "Containerfile").read_text().splitlines() if not line.startswith("#"))
    joined = re.sub(r"\\\n\s*", "", text)
    return [(keyword, rest) for keyword, _, rest in (line.partition(" ") for line in joined.splitlines() if line)]


def arguments(keyword: str) -> list[str]:
    return [rest for name, rest in instructions() if name == keyword]


def test_the_base_is_one_exact_version_in_both_stages() -> None:
    bases = {rest.split()[0] for rest in arguments("FROM")}
    assert len(arguments("FROM")) == 2
    # the environment holds links to the base's Python, so another base would break it
    assert len(bases) == 1
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-[a-z]+", bases.pop())


def test_the_only_steps_that_run_are_those_of_the_script_that_is_tested_below() -> None:
    script = str(SCRIPT.relative_to(ROOT))
    assert [json.loads(step) for step in arguments("RUN")] == [[script, step, "/source", VENV] for step in STEPS]
    assert os.access(SCRIPT, os.X_OK)


def test_everything_that_is_copied_in_exists_and_is_let_into_the_context() -> None:
    context = set((ROOT / ".dockerignore").read_text().splitlines())
    sources = [word for rest in arguments("COPY") if "--from" not in rest for word in rest.split()[:-1]]
    assert sources
    for source in sources:
        assert (ROOT / source).exists(), source
        assert {f"!{source}", f"!{Path(source).parent}"} & context, f"{source} is left out by .dockerignore"


def test_the_process_is_not_root_and_is_the_user_that_the_manifests_name() -> None:
    deployment = yaml.safe_load((ROOT / "manifests" / "deployment.yaml").read_text())
    security = deployment["spec"]["template"]["spec"]["securityContext"]
    assert arguments("USER") == [f"{security['runAsUser']}:{security['runAsGroup']}"]


def test_the_image_of_the_manifests_carries_the_version_of_the_package() -> None:
    deployment = yaml.safe_load((ROOT / "manifests" / "deployment.yaml").read_text())
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["image"] == f"peaks-scheduler:{__version__}"


def test_the_entry_point_is_the_installed_command() -> None:
    (entry,) = arguments("ENTRYPOINT")
    assert json.loads(entry) == [f"{VENV}/bin/peaks-scheduler"]
    assert [rest for rest in arguments("COPY") if "--from" in rest] == [f"--from=build {VENV} {VENV}"]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An environment made by the script alone, some 30 s with pip's cache filled; 190 MB that go again."""
    venv = tmp_path_factory.mktemp("image") / "venv"
    for step in STEPS:
        argv = [str(SCRIPT), step, str(ROOT), str(venv), sys.executable]
        ran = subprocess.run(argv, capture_output=True, text=True, timeout=600, check=False)
        assert ran.returncode == 0, ran.stderr[-3000:]
    yield venv
    shutil.rmtree(venv.parent)


def run(installed: Path, *argv: str) -> str:
    """Standard output of a command of the environment, run from elsewhere and with an empty environment."""
    command = [str(installed / "bin" / argv[0]), *argv[1:]]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd="/", env={}, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_the_installed_command_knows_its_version_and_its_strategies(installed: Path) -> None:
    assert __version__ in run(installed, "peaks-scheduler", "--version")
    assert "peaks" in run(installed, "peaks-scheduler", "strategies")


def test_the_package_comes_from_the_environment_and_not_from_the_checkout(installed: Path) -> None:
    place = run(installed, "python", "-c", "import peaks_scheduler; print(peaks_scheduler.__file__)")
    assert Path(place.strip()).is_relative_to(installed)


def test_the_pinned_versions_are_installed_and_no_tools_to_build_or_test(installed: Path) -> None:
    listing = "from importlib.metadata import distributions as d; print(*(f'{x.name}=={x.version}' for x in d()))"
    found = {name.lower().replace("_", "-") for name in run(installed, "python", "-c", listing).split()}
    pinned = {
        line.lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if line and not line.startswith("#")
    }
    assert found - {f"peaks-scheduler=={__version__}"} <= pinned
    assert not {"pip", "setuptools", "pytest", "mypy"} & {each.partition("==")[0] for each in found}


def test_every_module_is_compiled_since_nothing_can_be_written_later(installed: Path) -> None:
    (package,) = installed.glob("lib/python3*/site-packages/peaks_scheduler")
    compiled = {path.parent.parent / f"{path.name.split('.')[0]}.py" for path in package.rglob("__pycache__/*.pyc")}
    assert compiled == set(package.rglob("*.py"))


def test_a_list_of_what_is_left_out_that_means_nothing_any_more_is_an_error(tmp_path: Path) -> None:
    """A library that renames a folder would else be shipped whole, unseen."""
    (tmp_path / "lib/python3.13/site-packages/scipy/optimize").mkdir(parents=True)
    argv = [sys.executable, str(SCRIPT.with_name("prune.py")), str(tmp_path)]
    ran = subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False)
    assert ran.returncode == 1
    assert "scipy/cluster" in ran.stderr


def test_a_library_that_is_no_dependency_any_more_needs_no_pruning(tmp_path: Path) -> None:
    (tmp_path / "lib/python3.13/site-packages/click").mkdir(parents=True)
    subprocess.run([sys.executable, str(SCRIPT.with_name("prune.py")), str(tmp_path)], timeout=300, check=True)
    assert (tmp_path / "lib/python3.13/site-packages/click").is_dir()
