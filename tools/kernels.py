"""``kernels.py [--kernel NAME] TESTS...``: runs tests with the arithmetic of another processor.

OpenBLAS (numpy and scipy contain one each) has kernels for many processors and uses the one for this processor. numpy
has its own vector code for the newest features. Here another kernel is used and the vector code is switched off, as on
an older machine: a result that is right on one machine only then fails its test.

Owns the choice of the kernel, and the check of what really runs: OpenBLAS ignores an unknown name, uses one kernel for
several names, and crashes with a kernel that the processor cannot run.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys

PARALLEL = ("-n", "auto", "--dist", "worksteal")
TRIED = ("Nehalem", "Haswell", "Sandybridge", "NEOVERSEN1", "ARMV8")
"""The oldest of x86-64 first: it runs on every such machine and rounds most differently."""

LIMIT = 600.0  # [s] of one look; tens of seconds are usual where busier programs leave little of the processor

_LOOK = """
import json, numpy, scipy.linalg, threadpoolctl
scipy.linalg.svd(numpy.ones((64, 64)) @ numpy.ones((64, 64)))
blas = {each["architecture"] for each in threadpoolctl.threadpool_info() if each["internal_api"] == "openblas"}
found = numpy.show_config(mode="dicts").get("SIMD Extensions", {}).get("found", [])
print(json.dumps([sorted(blas), found]))
"""


def look(kernel: str | None) -> tuple[list[str], list[str]]:
    """(kernels that OpenBLAS uses when asked for ``kernel``, numpy's vector features); empty lists if it crashes."""
    env = os.environ | ({"OPENBLAS_CORETYPE": kernel} if kernel else {})
    ran = subprocess.run(
        [sys.executable, "-c", _LOOK], env=env, capture_output=True, text=True, timeout=LIMIT, check=False
    )
    blas, features = json.loads(ran.stdout) if ran.returncode == 0 else ([], [])
    return blas, features


def other(usual: list[str], wanted: str | None) -> str | None:
    """A kernel that runs on this machine and is not the usual one; None if there is none."""
    for kernel in [wanted] if wanted else TRIED:
        if (taken := look(kernel)[0]) and taken != usual:
            return kernel
    return None


def main() -> int:
    parser = argparse.ArgumentParser(description="Runs tests with another BLAS kernel.")
    parser.add_argument("--kernel", help="an OPENBLAS_CORETYPE, instead of the first that does")
    parser.add_argument("tests", nargs="+")
    asked = parser.parse_args()
    usual, features = look(None)
    kernel = other(usual, asked.kernel)
    if kernel is None:
        print(f"no tests under a second BLAS kernel: expected an OpenBLAS with another than {usual} for this processor")
        return int(os.environ.get("CI") == "true")
    print(f"BLAS kernel {look(kernel)[0]} instead of {usual}, numpy without {features}")
    env = os.environ | {"OPENBLAS_CORETYPE": kernel, "NPY_DISABLE_CPU_FEATURES": " ".join(features)}
    return subprocess.run([sys.executable, "-m", "pytest", *PARALLEL, *asked.tests], env=env, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
