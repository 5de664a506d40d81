"""The power models that the settings name: those of a file, or those written into the configuration.

Owns how that file is read and what is said of one that cannot be read. Never keeps models and never watches the file:
whoever runs for long decides which models stay in force.
"""

from __future__ import annotations

from pathlib import Path

from peaks_scheduler.errors import PowerModelError
from peaks_scheduler.files.reading import MOST_MODELS, read_input_text, read_text
from peaks_scheduler.power.file import parse_models
from peaks_scheduler.power.models import PowerModels

from .settings import Settings


def configured_models(settings: Settings, option: str = "") -> PowerModels:
    """The models of ``powerModels``, else of ``nodePowerModel``; no models where neither is set.

    ``option`` and errors as for ``read_models``.
    """
    path = settings.power.file
    return settings.power.inline if path is None else read_models(path, option)


def read_models(path: str | Path, option: str = "") -> PowerModels:
    """The models of one power model file.

    ``option`` is the command line's option that names the file (``--power-models``), for a command that also reads
    standard input (``-``) and pipes; without it only a regular file is read.

    Raises:
        PowerModelError: the file is wrong, or it cannot be read; then the cause is the OSError or UnicodeDecodeError.
        ConfigurationError: with ``option``, the file cannot be read.
    """
    if option:
        return parse_models(read_input_text(option, str(path), MOST_MODELS), str(path))
    try:
        text = read_text(path, MOST_MODELS)
    except (OSError, UnicodeDecodeError) as error:
        raise unreadable(path, error) from error
    return parse_models(text, str(path))


def unreadable(path: str | Path, cause: Exception) -> PowerModelError:
    """The error of a power model file that cannot be read, with its cause."""
    error = PowerModelError(f"{path}: expected a readable power model file, got: {cause}")
    error.__cause__ = cause
    return error
