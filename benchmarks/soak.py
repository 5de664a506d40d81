"""Minutes of churn on a real API server that is restarted twice: does the scheduler keep its size?

Owns the order: warm up, sample every ten seconds while pods come and go, restart the API server at two fifths and at
seven tenths of the time (same port, same etcd), let the last pods go, and judge. Growth is the slope of the samples
after the warm-up, which lasts until as many pods are gone as the scheduler remembers. Objects are counted twice, while
the churn is steady, so that a type that grew can be named. A pod that was not bound, or bound twice, or one record that
names another node, leaves no valid result.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from benchmarks import BenchmarkError, bindings_audit, workload
from benchmarks.endtoend import folder_of_logs
from benchmarks.figures import Aim, Figure
from benchmarks.loads import LoadEndpoint
from benchmarks.plan import Plan
from benchmarks.plane import BenchPlane
from benchmarks.slopes import CONFIDENCE, Slope, slope
from benchmarks.soak_churn import SoakChurn
from peaks_scheduler.ledger.tombstones import KEPT
from tests.e2e.support.daemon import credentials
from tests.soak.samples import Sample, grown, table
from tests.soak.watched import LIGHT, WHOLE, Watched

PART = "soak"
NODES = 1_000  # at most: what grows does so with pods and restarts
RATE = 50.0  # [pods/s] at most
EVERY = 10.0  # [s] from one sample to the next
WARM_UP = 0.2  # of the time: every node was used, connections and allocator are as they will be
WARMEST = 5.0  # [min]
LATEST = 0.5  # of the time: the warm-up ends, however few pods are gone by then
RESTARTS = (0.4, 0.7)  # of the time
# quantity -> growth an hour from which on it is one. 28 bytes that every pod leaves behind are 5 MB an hour, and no
# object that a pod brings takes less; a file or a task for every restart is six an hour
LEAST = {"rss": 5.0, "files": 3.0, "tasks": 3.0, "threads": 3.0}
NAMES = {"rss": "RSS [MB]", "files": "open files", "tasks": "tasks", "threads": "threads"}


def measure(plan: Plan, say: Callable[[str], None]) -> tuple[list[Figure], list[Aim]]:
    """One run. Raises BenchmarkError for one without a valid result."""
    nodes = min(plan.nodes, NODES)
    with folder_of_logs(plan.logs) as folder:
        folder.mkdir(parents=True, exist_ok=True)
        with BenchPlane(folder, apiserver_flags=bindings_audit.flags(folder)) as plane:
            plane.create_nodes(workload.nodes(nodes, plan.seed))
            with LoadEndpoint(workload.loads(nodes, plan.seed)) as load, _daemon(plane, load.url) as daemon:
                daemon.wait_leading()
                with SoakChurn(plane.api, min(plan.rate, RATE), plan.seed) as churn:
                    samples = Soak(plane, daemon, churn, plan.minutes, say).run()
                conflicts = daemon.metric("peaks_binding_conflicts_total")
            with bindings_audit.log(folder).open(encoding="utf-8") as log:
                bindings = bindings_audit.read(log)
    _check(churn, bindings)
    warm = [each for each in samples if is_warm(each.minute, each.pods, plan.minutes)]
    say("\n".join(["samples:", *table(samples)]))
    say(_objects([each for each in warm if each.objects]))
    return _figures(warm, churn, bindings, conflicts), _aims(warm)


def warm_up(minutes: float) -> float:
    """[min] that do not count."""
    return min(WARMEST, WARM_UP * minutes)


def is_warm(minute: float, gone: int, minutes: float) -> bool:
    """Does a sample at this minute of ``minutes`` count, when ``gone`` pods are gone?

    Until ``KEPT`` are gone, each leaves its name behind, about 140 bytes.
    """
    return minute >= warm_up(minutes) and (gone >= KEPT or minute >= LATEST * minutes)


def _daemon(plane: BenchPlane, load: str) -> Watched:
    models = workload.power_models()["models"]
    return Watched(plane.folder, credentials(plane), load=load, models=models, settings={"load": {"interval": "15s"}})


class Soak:
    """The minutes of one run."""

    def __init__(
        self, plane: BenchPlane, daemon: Watched, churn: SoakChurn, minutes: float, say: Callable[[str], None]
    ) -> None:
        self._plane, self._daemon, self._churn, self._say = plane, daemon, churn, say
        self._minutes = minutes
        self._begun = time.monotonic()
        self._restarts = [minutes * each for each in RESTARTS]

    def run(self) -> list[Sample]:
        """Samples of the whole time; the first after the warm-up, and the last, with all objects."""
        samples: list[Sample] = []
        counted = False
        while (minute := self._minute()) < self._minutes:
            if self._restarts and minute >= self._restarts[0]:
                self._restart()
            whole = not counted and is_warm(minute, self._churn.gone, self._minutes)
            samples.append(self._look(whole))
            counted = counted or whole
            time.sleep(max(0.0, EVERY - 60.0 * (self._minute() - minute)))
        return [*samples, self._look(True)]

    def _minute(self) -> float:
        return (time.monotonic() - self._begun) / 60.0

    def _restart(self) -> None:
        self._restarts.pop(0)
        self._plane.restart_apiserver()
        self._say(f"soak: minute {self._minute():.1f}: the API server is up again, on the same port")

    def _look(self, whole: bool) -> Sample:
        if not self._daemon.alive:
            raise BenchmarkError(f"the scheduler ended; the end of its log:\n{self._daemon.output()[-3000:]}")
        if not self._churn.alive:
            self._churn.drain()  # raises what ended it
        taken = self._daemon.look(self._minute(), self._churn.gone, WHOLE if whole else LIGHT)
        if whole or int(taken.minute) != int(taken.minute - EVERY / 60.0):
            self._say(f"soak: {table([taken])[-1]}")
        return taken


def _check(churn: SoakChurn, bindings: bindings_audit.Bindings) -> None:
    if churn.wrong:
        raise BenchmarkError(f"{len(churn.wrong)} of {churn.created} pods went wrong: {'; '.join(churn.wrong[:5])}")
    if churn.gone != churn.created:
        raise BenchmarkError(f"{churn.created} pods were created, {churn.gone} bound and deleted")
    if bindings.twice:
        raise BenchmarkError(f"{len(bindings.twice)} pods were bound twice: {', '.join(bindings.twice[:5])}")


def _objects(counted: Sequence[Sample]) -> str:
    """Types of which there were more at the end than after the warm-up."""
    more = list(grown(counted[0], counted[-1]).items())[:10]
    return "soak: more objects than after the warm-up: " + (", ".join(f"{n} {name}" for name, n in more) or "none")


def slopes(warm: Sequence[Sample]) -> dict[str, Slope]:
    """Growth an hour of each quantity."""
    minutes = [each.minute for each in warm]
    return {name: slope(minutes, [float(getattr(each, name)) for each in warm]) for name in LEAST}


def _figures(
    warm: Sequence[Sample], churn: SoakChurn, bindings: bindings_audit.Bindings, conflicts: float
) -> list[Figure]:
    unseen = churn.created - sum(count == 1 for count in bindings.times.values())
    return [
        *(each for name, growth in slopes(warm).items() for each in _growth(warm, name, growth)),
        *(_figure(f"RSS [MB]: {part}, {when}", "", value) for part, when, value in _parts(warm)),
        _figure("pods created, bound once and deleted", "", churn.gone),
        _figure("pods a second", "1/s", churn.rate),
        _figure("pods bound, but the killed server did not write it down", "", unseen),
        _figure("Bindings refused by the API server", "", bindings.refused),
        _figure("conflicts by the scheduler's count", "", conflicts),
        _figure("calls of the churn without an answer", "", churn.unanswered),
    ]


def _growth(warm: Sequence[Sample], name: str, growth: Slope) -> Iterator[Figure]:
    yield _figure(f"{NAMES[name]}: after the warm-up", "", getattr(warm[0], name))
    yield _figure(f"{NAMES[name]}: at the end", "", getattr(warm[-1], name))
    yield _figure(f"{NAMES[name]}: growth", "1/h", growth.value)
    yield _figure(f"{NAMES[name]}: growth, {CONFIDENCE:.0%} interval from", "1/h", growth.low)
    yield _figure(f"{NAMES[name]}: growth, {CONFIDENCE:.0%} interval to", "1/h", growth.high)


def _parts(warm: Sequence[Sample]) -> Iterator[tuple[str, str, float]]:
    """What RSS is made of: small objects are Python's, the rest is malloc's."""
    for when, each in (("after the warm-up", warm[0]), ("at the end", warm[-1])):
        yield "in use by malloc", when, each.given
        yield "kept free by malloc", when, each.free
        yield "small objects and the rest", when, each.rss - each.given - each.free


def _figure(name: str, unit: str, value: float) -> Figure:
    return Figure(PART, name, unit, "peaks", (float(value),))


def _aims(warm: Sequence[Sample]) -> list[Aim]:
    """Flat: the interval holds no growth, or the growth is less than the least that counts."""
    found = []
    for name, growth in slopes(warm).items():
        flat = "flat" if growth.flat(LEAST[name]) else "NOT flat"
        interval = f"{growth.value:.3g} an hour, {CONFIDENCE:.0%} interval {growth.low:.3g} to {growth.high:.3g}"
        shown = growth.value if growth.low > 0.0 else 0.0
        found.append(Aim(f"{NAMES[name]} {flat} ({interval}): growth", shown, LEAST[name], "lower"))
    return found
