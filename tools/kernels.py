"""``kernels.py [--kernel NAME] TESTS...``: runs tests with other arithmetic than this processor's.

OpenBLAS, of which numpy and scipy bring one each, has kernels for many processors and takes the one for this one; numpy
has vector code of its own for the newest features. Here another kernel is taken and the vector code left out, as on an
older machine: what is right only on one machine fails.

Owns the choice of the kernel, and the look at what really runs: OpenBLAS ignores a name that it does not know, takes
one kernel for several names, and dies of one that the processor cannot run.
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

_LOOK = """
import json, numpy, scipy.linalg, threadpoolctl
scipy.linalg.svd(numpy.ones((64, 64)) @ numpy.ones((64, 64)))
blas = {each["architecture"] for each in threadpoolctl.threadpool_info() if each["internal_api"] == "openblas"}
found = numpy.show_config(mode="dicts").get("SIMD Extensions", {}).get("found", [])
print(json.dumps([sorted(blas), found]))
"""


def look(kernel: str | None) -> tuple[list[str], list[str]]:
    """(kernels that OpenBLAS takes when asked for ``kernel``, numpy's vector features); none where it dies."""
    env = os.environ | ({"OPENBLAS_CORETYPE": kernel} if kernel else {})
    ran = subprocess.run(
        [sys.executable, "-c", _LOOK], env=env, capture_output=True, text=True, timeout=60, check=False
    )
    blas, features = json.loads(ran.stdout) if ran.returncode == 0 else ([], [])
    return blas, features


def other(usual: list[str], wanted: str | None) -> str | None:
    """A kernel that runs here and is not the usual one."""
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
