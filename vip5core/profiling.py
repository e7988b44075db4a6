"""What a trial costs: seconds, samples, memory."""

from __future__ import annotations

import contextlib
import ctypes
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import torch


class Stopwatch:
    """Seconds by name, summed over all measured blocks; blocks may be nested."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def measure(self, name: str, device: torch.device | None = None) -> Iterator[None]:
        """Add a block's wall time to `name`, including the work that it queued on `device`."""
        start = time.perf_counter()
        try:
            yield
        finally:
            if device is not None and device.type == "cuda":
                torch.cuda.synchronize(device)
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start

    def __getitem__(self, name: str) -> float:
        return self.seconds.get(name, 0.0)


class PeakMemory:
    """The peak memory since this object was created: of the GPU on a GPU, else the resident memory of this process.

    A worker process serves many trials and may keep memory that it freed, so that is given back and the kernel's
    high-water mark reset first, where that is possible (Linux with glibc).
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        elif sys.platform == "linux":
            _give_back_freed_memory()
            # A container may forbid it; the peak then covers the whole life of the process.
            with contextlib.suppress(OSError):
                Path("/proc/self/clear_refs").write_text("5")

    def megabytes(self) -> float:
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device) / 2**20
        if sys.platform == "linux":
            for line in Path("/proc/self/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) / 2**10
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / (2**20 if sys.platform == "darwin" else 2**10)


def _give_back_freed_memory() -> None:
    """Return freed memory to the kernel, where the allocator is glibc's."""
    library = ctypes.CDLL(None)
    if hasattr(library, "malloc_trim"):
        library.malloc_trim(0)
