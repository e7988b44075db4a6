"""How images are requested."""

from __future__ import annotations

from dataclasses import dataclass

from vip5core.errors import UserError

#: Most pictures that an item can be given.
MAX_PER_ITEM = 16


@dataclass(frozen=True)
class DownloadOptions:
    """How images are requested, and when to give up.

    Raises:
        UserError: if a number is too small.
    """

    concurrency: int = 16
    """Concurrent requests over all hosts. Memory use is at most this times `max_bytes`."""

    per_host: int = 4
    """Concurrent requests to one host."""

    timeout_s: float = 30.0
    """Seconds that one request may take, with its response."""

    attempts: int = 4
    """Requests for one image before it is left to the next run. Only failures that may be temporary are retried."""

    backoff_s: float = 1.0
    """Seconds before the second attempt; doubled before each further one, with a random jitter of half of it."""

    max_bytes: int = 20_000_000
    """Larger images are rejected."""

    allow_private: bool = False
    """Whether addresses in private networks are allowed, this machine's too. Unsafe if their source is not trusted."""

    mirrors: tuple[tuple[str, str], ...] = ()
    """(prefix, replacement): the first prefix that an address starts with is replaced in the request; the ledger keeps
    the original address. End both with a slash."""

    retry_failed: bool = False
    """Whether to request permanent failures again: after a change of `mirrors`, `max_bytes` or `allow_private`."""

    def __post_init__(self) -> None:
        for name in ("concurrency", "per_host", "attempts", "max_bytes"):
            if getattr(self, name) < 1:
                raise UserError(f"{name}={getattr(self, name)}: must be at least 1")
        if self.timeout_s <= 0:
            raise UserError(f"timeout_s={self.timeout_s}: must be above 0")
        if self.backoff_s < 0:
            raise UserError(f"backoff_s={self.backoff_s}: must not be negative")

    def apply_mirrors(self, url: str) -> str:
        """The address to request instead of `url`: that of its mirror, or `url` itself."""
        for prefix, replacement in self.mirrors:
            if url.startswith(prefix):
                return replacement + url[len(prefix) :]
        return url
