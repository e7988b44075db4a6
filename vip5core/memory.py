"""Keeps memory that tensors have freed, instead of giving it back to the kernel and fetching it again.

Each large tensor is otherwise mapped afresh, and touching a page for the first time costs far more than using it: a
third of a training step on a CPU. Linux with glibc only; elsewhere nothing is done.
"""

from __future__ import annotations

import ctypes
import functools
import sys

# Names and numbers are those of glibc's <malloc.h>.
_M_ARENA_MAX, _M_MMAP_MAX, _M_TOP_PAD, _M_TRIM_THRESHOLD = -8, -4, -2, -1


@functools.cache
def keep_freed_memory() -> bool:
    """Let this process keep what it frees, up to the peak of what it uses; returns whether the allocator agreed.

    Threads that have allocated memory before keep their own pool, for which this has little effect: call it early.
    """
    allocator = _glibc()
    if allocator is None:
        return False
    settings = {
        _M_ARENA_MAX: 1,  # the pools of threads are cut into 64 MB and given back piece by piece
        _M_MMAP_MAX: 0,  # no mapping of its own for a large block: it would be unmapped when freed
        _M_TRIM_THRESHOLD: 2**31 - 1,
        _M_TOP_PAD: 64 * 2**20,
    }
    return all(allocator.mallopt(name, value) for name, value in settings.items())


def give_back_freed_memory() -> None:
    """Return to the kernel what is kept and not used, so that the next peak is measured from what is."""
    allocator = _glibc()
    if allocator is not None:
        allocator.malloc_trim(0)


@functools.cache
def _glibc() -> ctypes.CDLL | None:
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    return library if library is not None and hasattr(library, "gnu_get_libc_version") else None
