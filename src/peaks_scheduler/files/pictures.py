"""Formats of pictures that commands write. Needs matplotlib, an optional dependency, only to find that it is there."""

from __future__ import annotations

from pathlib import PurePath

from peaks_scheduler.errors import ConfigurationError

FORMATS = ("png", "svg", "pdf")


def picture_format(option: str, path: str) -> str:
    """The format that the file's name asks for. Raises ConfigurationError for another one, or without matplotlib."""
    ending = PurePath(path).suffix.removeprefix(".").lower()
    if ending not in FORMATS:
        raise ConfigurationError(f"{option} {path}: expected a file that ends in {', '.join('.' + e for e in FORMATS)}")
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise ConfigurationError(
            f"{option} needs matplotlib, which is not there ({error}): install it by pip install "
            "'peaks-scheduler[plot]'"
        ) from error
    except OSError as error:  # neither a home nor a temporary folder
        raise ConfigurationError(
            f"{option} {path}: expected a folder in which matplotlib can keep its list of fonts; got: {error}. "
            "Set MPLCONFIGDIR to a folder that can be written to."
        ) from error
    return ending
