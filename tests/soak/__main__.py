"""The soak: minutes of churn and restarts of the API server, a sample a minute, and bounds that must hold at the end.

    python -m tests.soak [--minutes 20] [--restart-every 120] [--report FILE]

Exit code 0 where all bounds were kept, 1 where one was not, and says which. Needs what ``make control-plane`` builds.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.e2e.support.controlplane import ControlPlane
from tests.e2e.support.daemon import Daemon, credentials
from tests.e2e.support.load_endpoint import LoadEndpoint

from .churn import LOAD_EVERY, Churn
from .samples import Sample, broken, table
from .watched import Watched

WARM_UP = (
    4.0  # [min] until connections, a load's window and caches are full: 4,096 values, 1,000 new ones a minute or more
)
LAST_LINES = 60  # of a log, but for those about pods that were bound
EVERY = 60.0  # [s] from one sample to the next


def main() -> int:
    options = _options()
    with tempfile.TemporaryDirectory(prefix="peaks-soak-") as name:
        samples = _soak(Path(name), 60.0 * options.minutes, options.restart_every)
    first = next((each for each in samples if each.minute >= WARM_UP), samples[0])
    failures = list(broken(first, samples[-1]))
    lines = [*table(samples), "", *(failures or ["all bounds were kept"])]
    if options.report:
        options.report.write_text("\n".join(lines) + "\n")
    print("\n".join(lines))
    return 1 if failures else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--restart-every", type=float, default=120.0, help="seconds between restarts of the API server")
    parser.add_argument("--report", type=Path, help="where the table goes as well")
    return parser.parse_args()


def _soak(folder: Path, seconds: float, restart_every: float) -> list[Sample]:
    with ControlPlane(folder / "plane") as plane, LoadEndpoint() as load:
        plane.start_kwok()
        settings = {"load": {"interval": f"{LOAD_EVERY}s"}}
        with Watched(plane.folder, credentials(plane), load=load.url, settings=settings) as daemon:
            daemon.wait_leading()
            churn = Churn(plane, load)
            churn.begin()
            try:
                samples = _run(daemon, churn, plane, seconds, restart_every)
                assert daemon.alive
            except Exception:
                print(_last_words(daemon), file=sys.stderr, flush=True)
                raise
    return samples


def _last_words(daemon: Daemon) -> str:
    """What the scheduler did, by number, and what it said last: its log goes with the folder."""
    counts = Counter(line["message"] for line in daemon.lines())
    said = [line for line in daemon.output().splitlines() if '"bound"' not in line][-LAST_LINES:]
    return "\n".join([str(dict(counts)), daemon.get("/readyz?verbose").text, *said])


def _run(daemon: Watched, churn: Churn, plane: ControlPlane, seconds: float, restart_every: float) -> list[Sample]:
    begun = time.monotonic()
    looked, restarted, samples = begun, begun, [daemon.look(0.0, churn.pods)]
    while (now := time.monotonic()) < begun + seconds:
        if now - restarted >= restart_every:
            plane.restart_apiserver()
            restarted = now
        churn.round()
        if now - looked >= EVERY:
            churn.settle()
            samples.append(daemon.look((time.monotonic() - begun) / 60.0, churn.pods))
            looked = now
            print(table(samples)[-1], file=sys.stderr, flush=True)
    churn.settle()
    return [*samples, daemon.look((time.monotonic() - begun) / 60.0, churn.pods)]


if __name__ == "__main__":
    sys.exit(main())
