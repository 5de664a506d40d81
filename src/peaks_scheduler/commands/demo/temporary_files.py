"""The demo's few files: in a temporary folder, or in memory where no folder can be made.

Owns their paths and removes them; nothing stays behind. A container with a read-only root has no folder to write to.
There Linux keeps the files in memory, under paths in /proc that the demo's daemon, run by the same user, can open.
"""

from __future__ import annotations

import functools
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from peaks_scheduler.errors import ConfigurationError

PathOf = Callable[[str], Path]
"""Name of a file -> its path, the same one each time."""


@contextmanager
def temporary_files() -> Iterator[PathOf]:
    """Paths for files that exist while the block lasts. Raises ConfigurationError where no file can be made."""
    with ExitStack() as stack:
        yield _in_a_folder(stack) or _in_memory(stack)


def _in_a_folder(stack: ExitStack) -> PathOf | None:
    try:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="peaks-demo-")))
    except OSError:  # none of TMPDIR, /tmp, /var/tmp and the working directory is writable
        return None
    return lambda name: folder / name


def _in_memory(stack: ExitStack) -> PathOf:
    files = Path(f"/proc/{os.getpid()}/fd")  # not /proc/self: the daemon opens them too
    if not (hasattr(os, "memfd_create") and files.is_dir()):
        raise ConfigurationError(
            "demo: expected a folder for temporary files; none of TMPDIR, /tmp, /var/tmp and the working directory "
            "can be written to. Set TMPDIR to a folder that can."
        )

    @functools.cache
    def path_of(name: str) -> Path:
        number = os.memfd_create(name)
        stack.callback(os.close, number)
        return files / str(number)

    return path_of
