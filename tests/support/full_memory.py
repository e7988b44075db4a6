"""A machine whose memory is full as far as Ray can tell: its threshold is lowered, and a process takes the rest."""

from __future__ import annotations

import subprocess
import sys

import psutil
import pytest

GB = 2**30
#: What a study and its Ray may take before anything is injected, in GB; others may use the machine, too.
_ROOM = 4
#: Takes memory until its input is closed, which the end of its parent does, too.
_HOG = "import sys; taken = b'x' * int(sys.argv[1]); sys.stdin.read()"


class FullMemory:
    """Lowers the memory threshold of the Ray nodes that are started afterwards, and fills the memory up to it.

    Skips the test if the machine has too little free memory.

    Args:
        monkeypatch: Sets Ray's environment variables.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        memory = psutil.virtual_memory()
        if memory.available < (_ROOM + 3) * GB:
            pytest.skip(f"needs {_ROOM + 3} GB of free memory")
        self._full = memory.total - memory.available + _ROOM * GB
        self._hog: subprocess.Popen[bytes] | None = None
        monkeypatch.setenv("RAY_memory_usage_threshold", f"{self._full / memory.total:.4f}")
        monkeypatch.setenv("RAY_memory_monitor_refresh_ms", "100")

    @property
    def is_full(self) -> bool:
        return self._hog is not None

    def fill(self) -> None:
        """Take what is left below the threshold, and 1 GB more."""
        memory = psutil.virtual_memory()
        size = self._full - (memory.total - memory.available) + GB
        self._hog = subprocess.Popen([sys.executable, "-c", _HOG, str(size)], stdin=subprocess.PIPE)

    def free(self) -> None:
        """Give it back."""
        if self._hog is not None:
            self._hog.communicate()
