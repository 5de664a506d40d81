"""The long run of the fuzz tests: round after round of new examples until the time is over or one fails.

    python -m tests.fuzz                                   5 minutes, every file
    python -m tests.fuzz --minutes 60 --examples 5000      longer, and more examples of each test in a round
    python -m tests.fuzz tests/fuzz/test_quantities.py     some; any argument of pytest may follow

Bounded in time and memory (--gib, of each process), since garbage that makes a parser run away is what is looked for.
Exit 0 when every example passed, else 1: the failing example is printed, and kept outside the checkout to be tried
first the next time.
"""

from __future__ import annotations

import argparse
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

from .profile import EXAMPLES, cache_folder

GRACE = 300.0  # [s] that the last round may take beyond the end: an example that never comes back is a failure


def main(argv: Sequence[str] | None = None) -> int:
    args, more = _parser().parse_known_args(argv)
    end, rounds = time.monotonic() + 60.0 * args.minutes, 0
    while rounds == 0 or time.monotonic() < end:
        rounds += 1
        print(f"fuzz: round {rounds}, {max(0.0, end - time.monotonic()):.0f} s left", flush=True)
        if (code := _round(args, more or ["tests/fuzz"], end)) != 0:
            print(f"fuzz: failed in round {rounds}; failing examples are kept in {cache_folder()}", file=sys.stderr)
            return code
    print(f"fuzz: {rounds} rounds passed")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=5.0, metavar="M", help="after which no round begins [5]")
    parser.add_argument("--examples", type=int, default=1000, metavar="N", help="of each test in a round [1000]")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="J", help="processes [one a core]")
    parser.add_argument("--gib", type=float, default=4.0, metavar="G", help="memory that each may have [4]")
    return parser


def _round(args: argparse.Namespace, tests: Sequence[str], end: float) -> int:
    """pytest's exit code, or 1 where it did not come back."""
    jobs = ["-n", str(args.jobs), "--dist", "worksteal"] if args.jobs > 1 else []
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--maxfail=1", *jobs, *tests]
    most = int(args.gib * 2**30)
    with subprocess.Popen(
        command,
        env={**os.environ, EXAMPLES: str(args.examples)},
        start_new_session=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (most, most)),
    ) as process:
        try:
            return process.wait(max(0.0, end - time.monotonic()) + GRACE)
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            print(f"fuzz: an example did not come back within {GRACE:.0f} s of the end", file=sys.stderr)
            return 1


if __name__ == "__main__":
    sys.exit(main())
