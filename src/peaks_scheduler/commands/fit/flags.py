"""The options of ``fit`` on the command line; ``options`` makes a request of them. Imports nothing that fits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from peaks_scheduler.settings.options import setting_option

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.option("--csv", metavar="FILE", help="Measurements, one row a sample; also as .gz; - is stdin."),
    click.option("--cpu-column", metavar="NAME", help="With --csv: column of the CPU use."),
    click.option("--power-column", metavar="NAME", help="With --csv: column of the power or the energy."),
    click.option(
        "--node-column",
        metavar="NAME",
        help="With --csv: column of the nodes' names; without it the file is of one node.",
    ),
    click.option(
        "--node",
        metavar="NAME",
        help="With --csv, without --node-column: name of the node.  [default: the file's name]",
    ),
    click.option(
        "--temperature-column",
        metavar="NAME",
        help="With --csv: column of the temperature of the node's air [celsius]; learn what it costs.",
    ),
    click.option("--time-column", metavar="NAME", help="With --csv: column of the times, ISO 8601 or since 1970."),
    click.option(
        "--cpu-kind",
        type=click.Choice(["auto", "gauge", "counter"]),
        help="With --csv: kind of the CPU column.  [default: auto]",
    ),
    click.option(
        "--power-kind",
        type=click.Choice(["auto", "gauge", "counter"]),
        help="With --csv: kind of the power column.  [default: auto]",
    ),
    click.option(
        "--power-unit",
        type=click.Choice(
            [
                *("auto", "watts", "joules", "milliwatts", "microwatts", "kilowatts"),
                *("milliwatt-hours", "watt-hours", "kilowatt-hours", "btu-per-hour"),
            ]
        ),
        help="With --csv: unit of the power; of a counter, this unit times seconds.  [default: auto]",
    ),
    click.option(
        "--decimal",
        type=click.Choice(["auto", "point", "comma"]),
        help="With --csv: the decimal mark. 1,541 is 1541 with point, and less than 2 with comma.  [default: auto]",
    ),
    click.option(
        "--date-order",
        type=click.Choice(["day-first", "month-first"]),
        help="With --csv: order in dates such as 3/4/2026; needed where no date of the file tells.",
    ),
    click.option(
        "--shared",
        is_flag=True,
        help="With --csv: one meter measures all nodes together; learn the curve of each kind of node from the sum.",
    ),
    click.option(
        "--power-csv",
        metavar="FILE",
        help="With --shared: file with --time-column and --power-column of the meter.  [default: the nodes' file]",
    ),
    click.option(
        "--kind-column", metavar="NAME", help="With --shared: column of the nodes' kinds.  [default: one kind]"
    ),
    click.option(
        "--kind-label",
        metavar="LABEL",
        help="With --kind-column: label of the nodes that has the kind, for the model file.  [default: nodes by name]",
    ),
    click.option(
        "--half-life",
        metavar="DURATION",
        help="With --shared: age by which a sample counts half, such as 6h.  [default: all count alike]",
    ),
    click.option(
        "--prometheus",
        metavar="URL",
        help="URL of a Prometheus with power of every node, from Kepler, Redfish, IPMI or another exporter.",
    ),
    click.option("--range", metavar="DURATION", help="With --prometheus: the time to read, up to now.  [default: 7d]"),
    click.option("--step", metavar="DURATION", help="With --prometheus: time between two samples.  [default: 60s]"),
    click.option(
        "--cpu-query",
        metavar="PROMQL",
        help="With --prometheus: query for the CPU use of every node.  [default: known series]",
    ),
    click.option(
        "--power-query",
        metavar="PROMQL",
        help="With --prometheus: query for watts, or for ..._joules_total.  [default: known series]",
    ),
    click.option(
        "--temperature-query",
        metavar="PROMQL",
        help="With --prometheus: query for the temperature of every node's air [celsius]; learn what it costs.",
    ),
    setting_option("--prometheus-match"),
    click.option("--node-label", metavar="LABEL", help="With --prometheus: label that names a series' node."),
    click.option(
        "--prometheus-header",
        metavar="'NAME: VALUE'",
        multiple=True,
        help="With --prometheus: HTTP header to send with every request; may be repeated.",
    ),
    click.option(
        "--prometheus-header-file",
        metavar="'NAME: FILE'",
        multiple=True,
        help="The same, with the value in a file; may be repeated.",
    ),
    click.option(
        "--prometheus-token-file", "token_file", metavar="FILE", help="With --prometheus: file with a bearer token."
    ),
    click.option("--ca-file", metavar="FILE", help="With --prometheus: file with certificates to trust, PEM."),
    click.option("--username", metavar="NAME", help="With --prometheus: user for basic authentication."),
    click.option("--password-file", metavar="FILE", help="With --username: file with the password."),
    click.option(
        "--cpu-unit",
        type=click.Choice(["ratio", "percent", "cores"]),
        help="Unit of the CPU use.  [default: found from the values, and shown]",
    ),
    click.option("--cores", metavar="N", type=float, help="With --cpu-unit cores: number of cores of a node."),
    click.option(
        "--model",
        type=click.Choice(["auto", "exponential", "idle-exponential", "piecewise", "linear", "sqrt"]),
        default="auto",
        show_default=True,
        help="Kind of curve to fit; sqrt (idle + a*u + c*sqrt(u)) with --shared only.",
    ),
    click.option(
        "--temperature-signal",
        metavar="NAME",
        help="Signal that decisions read this temperature from (`sensors` in the configuration).  [default: inlet]",
    ),
    click.option(
        "--scope",
        type=click.Choice(["wall", "platform", "package", "estimate"]),
        help="Part of the machine that the watts are of.  [default: by the name of series or column, else wall]",
    ),
    click.option("--plot", metavar="FILE", help="Draw samples, curve, band and envelope: .png, .svg or .pdf."),
    click.option("--output", type=click.Choice(["table", "json"]), default="table", show_default=True),
    click.option("-o", "--out", metavar="FILE", help="Power model file to write."),
    click.option("--force", is_flag=True, help="Write refused models, too."),
)
"""In the order of the help."""


def fit_options(command: F) -> F:
    """Adds the options of ``fit`` to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
