"""How images are asked for."""

from __future__ import annotations

from dataclasses import dataclass

from vip5core.errors import UserError


@dataclass(frozen=True)
class DownloadOptions:
    """How to ask, and for how long.

    Raises:
        UserError: for a number that is too small.
    """

    concurrency: int = 16
    """Requests at once over all hosts. Memory is bounded by this times `max_bytes`."""

    per_host: int = 4
    """Requests at once to one host."""

    timeout_s: float = 30.0
    """Seconds for one request with its answer."""

    attempts: int = 4
    """Requests for one image before it is left to the next run. Only failures that may pass are tried again."""

    backoff_s: float = 1.0
    """Seconds before the second attempt; doubled before each further one, and varied by half of it either way."""

    max_bytes: int = 20_000_000
    """Larger images are refused."""

    allow_private: bool = False
    """Whether machines of private networks (this one too) may be asked. Never for addresses that strangers wrote."""

    mirrors: tuple[tuple[str, str], ...] = ()
    """(prefix, replacement): the first prefix that fits is replaced in the address that is asked; the ledger keeps the
    original. End both with a slash."""

    retry_failed: bool = False
    """Ask again for what failed for good. Needed after a change of `mirrors`, `max_bytes` or `allow_private`."""

    def __post_init__(self) -> None:
        for name in ("concurrency", "per_host", "attempts", "max_bytes"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} is {getattr(self, name)}: must be at least 1")
        if self.timeout_s <= 0 or self.backoff_s < 0:
            raise UserError(
                f"timeout_s is {self.timeout_s}, backoff_s is {self.backoff_s}: must be above 0 and not below 0"
            )

    def asked(self, url: str) -> str:
        """The address to ask for `url`."""
        for prefix, replacement in self.mirrors:
            if url.startswith(prefix):
                return replacement + url[len(prefix) :]
        return url
