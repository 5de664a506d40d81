"""``peaks-scheduler import-models``: its three subcommands, their options, and the output.

Owns the words of the command line. Imports the modules that do the work only when a command runs. Notes go to stderr;
the file goes to -o, or to stdout.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.files.reading import read_input_text
from peaks_scheduler.text.terminal import note, say, show

if TYPE_CHECKING:
    from .imported_models import ImportedModels

F = TypeVar("F", bound=Callable[..., Any])
TRAINERS = {
    "exponential": "ExponentialRegressionTrainer",
    "linear": "SGDRegressorTrainer",
    "logarithmic": "LogarithmicRegressionTrainer",
    "logistic": "LogisticRegressionTrainer",
}
_MAX_FILE = 64 * 2**20  # bytes


def targets(command: F) -> F:
    """Add the options that say which nodes a model is for."""
    for option in (
        click.option("--selector", multiple=True, metavar="LABEL=VALUE", help="For all nodes with these labels."),
        click.option("--nodes", multiple=True, metavar="NAME,...", help="For these nodes."),
    ):
        command = option(command)
    return command


out = click.option("-o", "--out", metavar="FILE", help="The power model file to write.  [default: stdout]")


@click.command()
@click.option("--url", metavar="URL", help="Kepler's model server, http://HOST:8100.")
@click.option("--file", metavar="FILE", help="Weights as the server gives them, JSON; - is stdin.")
@click.option("--cores", type=click.FloatRange(min=0, min_open=True), metavar="N", help="CPUs of the node.")
@click.option(
    "--cpu-frequency",
    type=click.FloatRange(min=0, min_open=True),
    metavar="MHZ",
    help="For models that count cycles.",
)
@click.option(
    "--trainer",
    type=click.Choice([*TRAINERS, "any"]),
    help="The trainer to ask for, or of a file's weights.  [default: exponential; for a file: by its name]",
)
@click.option(
    "--source",
    type=click.Choice(["acpi", "rapl-sysfs"]),
    default="acpi",
    show_default=True,
    help="With --url: the whole machine, or sockets and memory.",
)
@click.option("--node-type", type=int, metavar="N", help="With --url: the server's number of a kind of machine.")
@click.option(
    "--machine",
    multiple=True,
    metavar="KEY=VALUE",
    help="With --url: what machine to look for: processor, cores, chips, memory, frequency.",
)
@click.option("--without-dram", is_flag=True, help="The sockets alone, where memory has no model to use.")
@targets
@out
def kepler(url: str | None, file: str | None, out: str | None, **flags: Any) -> None:
    """Weights of Kepler's model server, asked for or from a file."""
    from .imported_models import target_of
    from .kepler import import_kepler
    from .kepler_weights import read_weights

    if (url is None) == (file is None):
        raise ConfigurationError("expected --url URL or --file FILE, one of the two")
    target = target_of(flags["nodes"], flags["selector"])
    trainer = TRAINERS.get(flags["trainer"] or "")
    if url is None:
        weights = read_weights(read_input_text("--file", str(file), _MAX_FILE), str(file), trainer)
    else:
        weights = read_weights(*_asked(url, flags), trainer or (None if flags["trainer"] else TRAINERS["exponential"]))
    imported = import_kepler(weights, flags["cores"], flags["cpu_frequency"], not flags["without_dram"], target)
    _finish(imported, out)


def _asked(url: str, flags: dict[str, Any]) -> tuple[str, str]:
    """(the server's answer, its name in messages)."""
    from peaks_scheduler.text.masking import mask_url

    from .imported_models import parse_pairs
    from .kepler_server import ask, request_body

    trainer = None if flags["trainer"] == "any" else TRAINERS[flags["trainer"] or "exponential"]
    machine = parse_pairs("--machine", flags["machine"])
    if flags["node_type"] is None and not machine:
        note("neither --node-type nor --machine: the server gives the model with the smallest error, of any machine")
    body = request_body(flags["source"], trainer, flags["node_type"], machine)
    return ask(url, body), mask_url(url)


@click.command()
@click.argument("file", metavar="FILE")
@click.option(
    "--cpu-unit",
    type=click.Choice(["percent", "ratio"]),
    default="percent",
    show_default=True,
    help="The unit of CPU that k2 is for; the plugin assumes percent.",
)
@out
def plugin(file: str, cpu_unit: str, out: str | None) -> None:
    """Models of the original Peaks plugin: its JSON, a ConfigMap, a KubeSchedulerConfiguration; - is stdin."""
    from .plugin import import_plugin

    _finish(import_plugin(read_input_text("FILE", file, _MAX_FILE), file, cpu_unit), out)


@click.command()
@click.argument("file", metavar="FILE")
@click.option("--match", multiple=True, metavar="COLUMN=TEXT", help="The rows to take; * is any text.")
@click.option("--watts", metavar="NAME", help='The columns\' name before the level, such as "PkgWatt".')
@click.option("--name-column", metavar="COLUMN", help="A model for each value, for nodes with a label of that value.")
@click.option("--selector-label", metavar="LABEL", help="That label.  [default: node.kubernetes.io/instance-type]")
@click.option("--median", is_flag=True, help="Of several rows for one model, take the median at each level.")
@click.option(
    "--times",
    type=click.FloatRange(min=0, min_open=True),
    default=1.0,
    metavar="N",
    help="For tables of watts per vCPU or core: how many the node has.",
)
@click.option(
    "--decimal", type=click.Choice(["auto", "point", "comma"]), default="auto", help="What 1,541 is: 1541, or less."
)
@targets
@out
def levels(file: str, out: str | None, **flags: Any) -> None:
    """A CSV of power at load levels (SPECpower's, Teads', watts_idle .. watts_100), as a first guess; - is stdin."""
    from .imported_models import parse_pairs, target_of
    from .levels import INSTANCE_TYPE, LevelsRequest, import_levels

    named = flags["name_column"] is not None
    if named and (flags["nodes"] or flags["selector"]):
        raise ConfigurationError("expected --name-column, or --nodes or --selector; got both")
    if not named and flags["selector_label"] is not None:
        raise ConfigurationError("--selector-label: expected --name-column as well, where its values are; got none")
    choice = LevelsRequest(
        file,
        parse_pairs("--match", flags["match"]),
        flags["watts"],
        flags["name_column"],
        flags["selector_label"] or INSTANCE_TYPE,
        flags["median"],
        flags["times"],
        flags["decimal"],
    )
    _finish(import_levels(choice, None if named else target_of(flags["nodes"], flags["selector"])), out)


def import_models(group: type[click.Group], command: type[click.Command]) -> click.Group:
    """The click command, made of the caller's classes, which print errors in words."""

    @click.group("import-models", cls=group)
    def found() -> None:
        """Import power models that others have made."""

    for each in (kepler, plugin, levels):
        found.add_command(_of(command, each))
    return found


def _of(command: type[click.Command], each: click.Command) -> click.Command:
    return command(each.name, callback=each.callback, params=each.params, help=each.help)


# --- files ------------------------------------------------------------------------------------------------------------


def _finish(imported: ImportedModels, path: str | None) -> None:
    """Print the notes to stderr and write the models to ``path``, or to stdout."""
    from peaks_scheduler.files.writing import write_whole
    from peaks_scheduler.power.file import parse_models
    from peaks_scheduler.power.writing import render_models

    for text in imported.notes:
        note(text)
    written = render_models(imported.models, imported.comment)
    parse_models(written, path or "stdout")  # the daemon must be able to read it
    if path is None:
        show(written, newline=False)
        return
    write_whole("--out", path, written.encode())
    named, selected = len(imported.models.by_name), len(imported.models.by_selector)
    say(f"{path}: {named} by name, {selected} by labels")
