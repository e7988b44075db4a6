"""Workers keep memory that they free; what an earlier trial freed does not count as a later one's."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from vip5platform.environment import KEEP_FREED_MEMORY

CODE = """
import sys, torch
from vip5core.profiling import PeakMemory
before = PeakMemory(torch.device("cpu")).megabytes()
blocks = [torch.ones(2**18) for _ in range(300)]  # 300 MB in pieces
large = PeakMemory(torch.device("cpu")).megabytes()
del blocks
after = PeakMemory(torch.device("cpu")).megabytes()
print(large - before, after - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's high-water mark can be reset on Linux alone")
@pytest.mark.parametrize("keeps", [True, False], ids=["keeps-freed-memory", "gives-it-back"])
def test_freed_memory_is_not_counted_whether_the_allocator_keeps_it_or_not(keeps: bool) -> None:
    environment = {**os.environ, "GLIBC_TUNABLES": KEEP_FREED_MEMORY if keeps else ""}
    out = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True, env=environment)
    used, left = map(float, out.stdout.split())
    assert used > 250
    assert left < 100
