#!/bin/sh
# Builds a wheel of this project and installs it with its pinned dependencies into a fresh environment.
#
#     tools/container/install.sh SOURCE VENV [PYTHON]
#
# The image's only build step, kept here so that it runs without a container engine too. Leaves nothing but VENV behind:
# SOURCE is copied first, since a build writes beside what it builds. VENV gets no pip and no build tools.
set -eu

source=${1:?"SOURCE: the folder with pyproject.toml"}
venv=${2:?"VENV: where the environment is to be"}
python=${3:-python3}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# what the wheel is made of, and nothing else that may lie in the folder
mkdir "$work/source"
for each in pyproject.toml constraints.txt README.md LICENSE src; do
  cp -R "$source/$each" "$work/source/"
done

"$python" -m venv "$work/tools"
pip() {
  "$work/tools/bin/python" -m pip "$@"
}
# without isolation and with our own setuptools: else pip would fetch another one, unpinned, for the build
pip install --quiet --disable-pip-version-check --constraint "$source/constraints.txt" setuptools
pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir "$work/wheels" "$work/source"

"$python" -m venv --without-pip "$venv"
pip --python "$venv/bin/python" install --quiet --disable-pip-version-check \
  --constraint "$source/constraints.txt" "$work"/wheels/*.whl
