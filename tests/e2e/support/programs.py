"""Where the programs are that ``tools/`` has brought for the tests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

TOOLS = Path(__file__).resolve().parents[3] / "tools"


def located(tool: str, absent: str) -> dict[str, Path]:
    """Path of every program by name, as ``tools/TOOL --where`` tells.

    Raises:
        AssertionError: one is not there; ``absent`` says what, and what to run.
    """
    argv = [sys.executable, str(TOOLS / tool), "--where"]
    told = subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False)
    assert told.returncode == 0, f"{absent}: {told.stderr.strip()}"
    return {name: Path(path) for name, path in (line.split(" ", 1) for line in told.stdout.splitlines())}
