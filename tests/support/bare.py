"""A command as a container runs it: another user without a name, an empty environment, nowhere to write.

Owns how a child gets there on Linux: a mount namespace in which everything is read-only, and a user id that has no
entry in passwd. As root that user may still read every file, since a developer's Python may lie in root's home; nothing
else is left of root's rights. Without root a user namespace does it, where the system allows one.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

UID = "65532"
# what lies there stays in sight: the checkout may be in a temporary folder
_EACH = "mount --bind $d $d; mount -o remount,bind,ro $d"
_READ_ONLY = f"mount -o remount,bind,ro /; for d in /tmp /var/tmp /dev/shm; do {_EACH}; done"
_THEN = f'set -e; cd /; {_READ_ONLY}; exec "$@"'
_KEEP = "+dac_read_search"


def _ways() -> Sequence[Sequence[str]]:
    """Command lines to put before another, the first that works is taken."""
    drop = ["setpriv", "--no-new-privs", "--inh-caps=-all", "--ambient-caps=-all"]
    user = [f"--reuid={UID}", f"--regid={UID}", "--clear-groups"]
    root = ["setpriv", "--no-new-privs", *user, f"--inh-caps=-all,{_KEEP}", f"--ambient-caps={_KEEP}"]
    inside = ["sh", "-c", _THEN, "sh"]
    mapped = ["unshare", "--user", f"--map-user={UID}", f"--map-group={UID}", "--keep-caps", "--mount"]
    return ["unshare", "--mount", *inside, *root], [*mapped, *inside, *drop]


@functools.cache
def way() -> Sequence[str] | None:
    """What puts a command into bare surroundings on this machine; None where nothing does."""
    if not shutil.which("unshare") or not shutil.which("setpriv"):
        return None
    for each in _ways():
        probe = subprocess.run([*each, "true"], capture_output=True, timeout=30, check=False)
        if probe.returncode == 0:
            return each
    return None


def run_bare(argv: Sequence[str | Path], env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """``argv`` with exactly this environment, without a name, a home or a folder to write to; standard input is empty.

    Raises:
        AssertionError: this machine cannot do it (see ``way``).
    """
    before = way()
    assert before is not None
    variables = [f"{name}={value}" for name, value in env.items()]
    return subprocess.run(
        [*before, "env", "-i", *variables, *argv],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=90,
        check=False,
        env={"PATH": os.environ["PATH"]},
    )
