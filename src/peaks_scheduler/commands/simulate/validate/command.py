"""``peaks-scheduler simulate validate``: its options, and the order of the steps.

Imports what reads and computes only when the command runs. Notes go to stderr, the result to stdout.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.text.durations import span_of

F = TypeVar("F", bound=Callable[..., Any])

MOST_VALUES = 100_000_000
"""Most samples of the meter times hosts: they are 0.8 GB."""

_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.option(
        "--opendc",
        metavar="FOLDER",
        required=True,
        help="Measured work: tasks.parquet and fragments.parquet in OpenDC's form, topology.json where there is one.",
    ),
    click.option(
        "--power",
        metavar="FILE",
        required=True,
        help="Measured power of all hosts together: Parquet with timestamp (ms from the first submission, or since "
        "1970) and power_draw (W).",
    ),
    click.option(
        "--freeze",
        metavar="DURATION",
        default="1d",
        show_default=True,
        help="The first span: the frozen model is learned from it, and what follows is predicted.",
    ),
    click.option(
        "--refit",
        metavar="DURATION",
        default="1h",
        show_default=True,
        help="The other model is learned anew so often, from the past alone.",
    ),
    click.option(
        "--hosts",
        metavar="N",
        type=click.IntRange(1),
        help="Number of hosts.  [default: topology.json's, else as many as the work needs at once]",
    ),
    click.option("--output", type=click.Choice(["table", "json"]), default="table", show_default=True),
)
"""In the order of the help."""


@dataclass(frozen=True, slots=True)
class ValidateRequest:
    """The options of the command."""

    opendc: str
    power: str
    freeze: float = 86_400.0
    """[s] length of the first span."""
    refit: float = 3600.0
    """[s] from one refit to the next."""
    hosts: int | None = None
    output: str = "table"


def validate_options(command: F) -> F:
    """Adds the options of ``simulate validate`` to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def request_of(flags: dict[str, Any]) -> ValidateRequest:
    """The request of the options. Raises ConfigurationError."""
    freeze, refit = _seconds("--freeze", flags["freeze"]), _seconds("--refit", flags["refit"])
    if refit < 60.0 or refit > freeze / 4.0:
        raise ConfigurationError(
            f"--refit {flags['refit']}: expected between 1m and a quarter of --freeze {flags['freeze']}: the first "
            "span is "
            "also where refitting is rehearsed"
        )
    return ValidateRequest(flags["opendc"], flags["power"], freeze, refit, flags["hosts"], flags["output"])


def _seconds(option: str, text: str) -> float:
    span = span_of(text)
    if not span:
        raise ConfigurationError(f"{option}: expected a duration such as 1d, 12h or 30m; got {text!r}")
    return span


def validate_command(command: type[click.Command]) -> click.Command:
    """The click command, made of the caller's class, which prints errors in words."""

    @click.command("validate", cls=command)
    @validate_options
    def validate(**flags: Any) -> None:
        """Replay measured work and compare with measured power.

        The power of all hosts is predicted from the use of each, by a curve that is learned from the sum as in
        `fit --shared`: once from the first span and then frozen, and again and again from the past.
        """
        sys.exit(run_validate(request_of(flags)))

    return validate


def run_validate(request: ValidateRequest) -> int:
    """Read, replay, predict, compare and print. Returns the exit code. Raises ConfigurationError."""
    from peaks_scheduler.text.terminal import note, show

    from .report import as_json, as_table

    found = validation(request)
    for text in found.notes:
        note(text)
    show(json.dumps(as_json(found), indent=2, allow_nan=False) if request.output == "json" else as_table(found))
    return 0


def validation(request: ValidateRequest) -> Any:
    """The ``report.Validation`` of a request. Raises ConfigurationError."""
    from peaks_scheduler.fitting.shared_samples import SharedSamples
    from peaks_scheduler.text.progress import ProgressBar

    from .comparison import HOST, compare
    from .hosts import most_at_once, place, use_of_hosts
    from .power import check_watts, read_power
    from .report import Validation
    from .work import read_hosts, read_work

    work = read_work(request.opendc)
    power = read_power(request.power, work.epoch_ms)
    hosts = read_hosts(request.opendc, work)
    needed = most_at_once(work, hosts.cores)
    count = request.hosts or hosts.count or needed
    check_watts(request.power, power.watts, count)
    power = power.during(float((work.start + work.length).max()))
    if len(power.time) * count > MOST_VALUES:
        most = MOST_VALUES // len(power.time)
        raise ConfigurationError(
            f"{count} hosts: expected at most {most:,} for {len(power.time):,} samples of the meter"
        )
    with ProgressBar("placing", least=2) as progress:
        where, start, late = place(work, hosts, count, progress.update)
    use = use_of_hosts(work, where, start, count, hosts.mhz, power)
    samples = SharedSamples(power.watts, {HOST: use}, power.time)
    with ProgressBar("refitting", least=2) as progress:
        comparison = compare(samples, request.freeze, request.refit, progress.update)
    guessed = request.hosts is None and hosts.count is None
    notes = [*work.notes, *power.notes, *late, *([_guess(count)] if guessed else [])]
    return Validation(comparison, len(work.names), count, notes)


def _guess(count: int) -> str:
    return (
        f"{count} hosts, as many as the work needs at once; say --hosts N if there are more: the figures stay the "
        "same, the "
        "idle power of a host does not"
    )
