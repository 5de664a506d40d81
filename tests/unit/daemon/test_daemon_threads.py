"""The end of the process does not wait for a call that blocks, such as a name lookup."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from peaks_scheduler.daemon.daemon_threads import DaemonThreads

ENDING = """
import asyncio, time
from peaks_scheduler.daemon.daemon_threads import DaemonThreads

async def main():
    asyncio.get_running_loop().set_default_executor(DaemonThreads())
    blocked = asyncio.create_task(asyncio.to_thread(time.sleep, 3600))
    await asyncio.sleep(0.1)
    blocked.cancel()

asyncio.run(main())
print("ended")
"""


def test_a_process_ends_while_a_call_is_blocked() -> None:
    ended = subprocess.run([sys.executable, "-c", ENDING], capture_output=True, text=True, timeout=300, check=True)
    assert (ended.stdout, ended.stderr) == ("ended\n", "")


async def test_results_and_errors_come_back() -> None:
    asyncio.get_running_loop().set_default_executor(DaemonThreads())
    assert await asyncio.gather(*(asyncio.to_thread(pow, 2, i) for i in range(50))) == [2**i for i in range(50)]
    with pytest.raises(ZeroDivisionError):
        await asyncio.to_thread(divmod, 1, 0)
