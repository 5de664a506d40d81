"""Has runs made: here, in several processes (joblib), or on a Dask cluster. All three give the same results.

A run that fails is data: it comes back as a ``Failure`` with its reason, and the others go on. Results come in the
order in which they are finished. Assumes that the workers of a cluster have this package and see the same files.
"""

from __future__ import annotations

import os
import re
import socket
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from peaks_scheduler.commands.simulate.processes import processors
from peaks_scheduler.errors import ConfigurationError, PeaksError

from .finished import Kpis
from .one_run import Run

Work = Callable[[Run], Kpis]
INSTALL = "install it: pip install 'peaks-scheduler[simulate]'"
INSTALL_DASK = "install it: pip install 'peaks-scheduler[dask]'"
_CONNECT_S = 10.0  # until a cluster that does not answer is given up
_ADDRESS = re.compile(r"(?:(?:tcp|tls)://)?(\[[0-9A-Fa-f:.]+\]|[^\s:/\[\]]+):([0-9]{1,5})")


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a run gave nothing, in words."""

    reason: str


Result = Kpis | Failure


def attempt(work: Work, place: int, run: Run) -> tuple[int, Result]:
    """(``place``, what the run gives)."""
    try:
        return place, work(run)
    except PeaksError as error:
        return place, Failure(str(error))
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        at = f"{os.path.basename(last.filename)}:{last.lineno}"
        return place, Failure(f"unexpected {type(error).__name__} at {at}: {error}")


def spread(work: Work, runs: Sequence[Run], jobs: int | None, dask: str | None) -> Iterator[tuple[int, Result]]:
    """(index of the run, its result) as they are finished.

    jobs   number of processes; None: as many as there are processors; 1: in this process
    dask   address of the scheduler of a Dask cluster, which is used instead

    Raises ConfigurationError where joblib or Dask is not installed, or the cluster does not answer.
    """
    if dask is not None:
        return _on_cluster(work, runs, dask)
    processes = min(jobs or processors(), max(len(runs), 1))
    return _in_processes(work, runs, processes) if processes > 1 else _here(work, runs)


def _here(work: Work, runs: Sequence[Run]) -> Iterator[tuple[int, Result]]:
    for place, run in enumerate(runs):
        yield attempt(work, place, run)


def _in_processes(work: Work, runs: Sequence[Run], processes: int) -> Iterator[tuple[int, Result]]:
    try:
        from joblib import Parallel, delayed
    except ImportError as error:
        raise ConfigurationError(f"several processes need joblib; {INSTALL}, or say --jobs 1") from error
    pool = Parallel(n_jobs=processes, backend="loky", return_as="generator_unordered", batch_size=1)
    yield from pool(delayed(attempt)(work, place, run) for place, run in enumerate(runs))


def _on_cluster(work: Work, runs: Sequence[Run], address: str) -> Iterator[tuple[int, Result]]:
    try:
        from distributed import Client, as_completed
    except ImportError as error:
        raise ConfigurationError(f"--dask {address}: it needs Dask's distributed; {INSTALL_DASK}") from error
    with _connected(Client, address) as client:
        futures = {client.submit(attempt, work, i, run, pure=False): i for i, run in enumerate(runs)}
        for future in as_completed(futures, loop=client.loop):  # type: ignore[no-untyped-call]
            yield _answer(future, futures)


def _connected(client: Any, address: str) -> Any:
    try:
        _knock(address)
        return client(address, timeout=_CONNECT_S, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise ConfigurationError(
            f"--dask {address}: expected the address of a Dask scheduler that answers, such as tcp://10.0.0.5:8786; "
            f"got: {error}"
        ) from error


def _knock(address: str) -> None:
    """Raises OSError or ValueError where nobody listens: Dask's client would try for long and complain at the end."""
    match = _ADDRESS.fullmatch(address)
    if match is None or int(match[2]) > 65535:
        raise ValueError("no address of that form")
    socket.create_connection((match[1].strip("[]"), int(match[2])), _CONNECT_S).close()


def _answer(future: Any, places: Mapping[Any, int]) -> tuple[int, Result]:
    """The result of a future; a worker that died is a failure of its run."""
    try:
        place, result = future.result()
    except Exception as error:
        return places[future], Failure(f"the cluster gave it up: {type(error).__name__}: {error}")
    return place, result
