"""``--workload TEXT``: the pods that come, in one of several forms.

Two visible tables say which function reads what: ``READERS`` by the prefix of the text, ``FILE_FORMS`` by the content
of a file without a prefix. What is odd about any workload, whatever its form, is counted here. The same text, nodes and
seed always give the same pods.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from peaks_scheduler.files.csv.bounded_text import read_csv_text
from peaks_scheduler.simulation.cluster import SimulatedNode
from peaks_scheduler.simulation.workload import Job, Workload
from peaks_scheduler.text.words import plural

from .alibaba import alibaba_jobs
from .nodes import is_dump
from .openb import openb_jobs
from .opendc import opendc_jobs
from .pod_table import pod_table
from .source import Source, source_of
from .synthetic import synthetic_jobs

Reader = Callable[[Source, Sequence[SimulatedNode], int], Workload]
"""Workload of a source for these nodes, drawn with a seed where it draws. Raises ConfigurationError."""
FileReader = Callable[[Source, str, Sequence[SimulatedNode]], Workload]
"""Workload of a file's text."""

READERS: Mapping[str, Reader] = {
    "openb": openb_jobs,
    "bitbrains": opendc_jobs,
    "surf": opendc_jobs,
    "opendc": opendc_jobs,
    "alibaba2017": alibaba_jobs,
    "synthetic": synthetic_jobs,
}
PLACELESS = ("synthetic",)
"""Prefixes that are followed by parameters, and no file."""


def _dump(source: Source, text: str, nodes: Sequence[SimulatedNode]) -> Workload:
    raise source.error("expected a CSV of pods; got a dump of a cluster, which does not tell when pods begin and end")


FILE_FORMS: Sequence[tuple[Callable[[str], bool], FileReader]] = (
    (is_dump, _dump),
    (lambda text: True, pod_table),
)
"""(does a text look like this form?, its reader), the first that does counts."""

ODD_USE = 10.0
"""Use above this many times the request is unusual."""


def read_workload(text: str, nodes: Sequence[SimulatedNode], seed: int) -> Workload:
    """The pods that ``--workload TEXT`` names, in order. Raises ConfigurationError."""
    source = source_of("--workload", text, READERS, os.path.isfile, PLACELESS)
    if source.prefix:
        workload = READERS[source.prefix](source, nodes, seed)
    else:
        content = read_csv_text(source.place, source.option)
        workload = next(read for looks, read in FILE_FORMS if looks(content))(source, content, nodes)
    return replace(workload, notes=(*workload.notes, *_odd(workload.jobs, nodes)))


def _odd(jobs: Sequence[Job], nodes: Sequence[SimulatedNode]) -> Iterator[str]:
    """Notes on pods that may be a mistake, and run or fail as they are."""
    cores, memory = (max((getattr(node, name) for node in nodes), default=0.0) for name in ("cpu_cores", "memory_mib"))
    large = sum(job.cpu_cores > cores for job in jobs)
    if large:
        yield f"{plural(large, 'pod')} with a request above the CPUs of every node ({cores:g}): never scheduled"
    heavy = sum(job.memory_mib > memory for job in jobs)
    if heavy:
        yield f"{plural(heavy, 'pod')} with a request above the memory of every node ({memory:g} MiB): never scheduled"
    greedy = sum(job.cpu_used_cores > ODD_USE * job.cpu_cores > 0.0 for job in jobs)
    if greedy:
        yield f"{plural(greedy, 'pod')} with a use above {ODD_USE:g} times the requested CPU: are units mixed up?"
