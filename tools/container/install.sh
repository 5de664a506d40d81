#!/bin/sh
# Installs this project, or what it depends on, into an environment.
#
#     tools/container/install.sh dependencies SOURCE VENV [PYTHON]     a fresh VENV with the pinned dependencies, pruned
#     tools/container/install.sh package      SOURCE VENV [PYTHON]     a wheel of this project, into that VENV
#
# The image's only build steps, kept here so that they run without a container engine too. Two, because dependencies
# seldom change: an engine keeps their layer. Leaves nothing but VENV behind: SOURCE is copied first, since a build
# writes beside what it builds. VENV gets no pip and no build tools.
set -eu

step=${1:?"dependencies or package"}
source=${2:?"SOURCE: the folder with pyproject.toml"}
venv=${3:?"VENV: where the environment is to be"}
python=${4:-python3}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$python" -m venv "$work/tools"
pip() {
  "$work/tools/bin/python" -m pip "$@"
}
install() {
  # compiled below, once what is not needed has gone
  pip --python "$venv/bin/python" install --quiet --disable-pip-version-check --no-compile \
    --constraint "$source/constraints.txt" "$@"
}

case $step in
dependencies)
  "$python" -m venv --without-pip "$venv"
  "$python" -c 'import sys, tomllib; print(*tomllib.load(sys.stdin.buffer)["project"]["dependencies"], sep="\n")' \
    <"$source/pyproject.toml" >"$work/dependencies.txt"
  install --requirement "$work/dependencies.txt"
  "$python" "$source/tools/container/prune.py" "$venv"
  ;;
package)
  # what the wheel is made of, and nothing else that may lie in the folder
  mkdir "$work/source"
  for each in pyproject.toml constraints.txt README.md LICENSE src; do
    cp -R "$source/$each" "$work/source/"
  done
  # without isolation and with our own setuptools: else pip would fetch another one, unpinned, for the build
  pip install --quiet --disable-pip-version-check --constraint "$source/constraints.txt" setuptools
  pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir "$work/wheels" "$work/source"
  install --no-deps "$work"/wheels/*.whl
  ;;
*)
  echo "install.sh: expected dependencies or package, got: $step" >&2
  exit 2
  ;;
esac
# nothing can be written later; what is compiled already is passed over
"$venv/bin/python" -m compileall -q "$venv/lib"
