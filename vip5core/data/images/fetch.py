"""Fetches one image from one address: within limits on rate, size and time, and never from a private network.

Proxies of the environment (`HTTPS_PROXY` and the like) are not used: a proxy resolves host names itself, so that
private addresses could not be detected here. Behind a proxy, use a mirror that can be reached directly.
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
import time
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Self

import aiohttp
from yarl import URL

from vip5core import __version__
from vip5core.data.images.addresses import host_of, is_public, parse_address
from vip5core.data.images.options import DownloadOptions
from vip5core.picture_formats import format_of, why_unread

USER_AGENT = f"vip5-ablation/{__version__}"
MAX_REDIRECTS = 5
#: The longest wait within a run; a host that asks for a longer one is skipped until the next run.
LONGEST_WAIT_S = 120.0
#: A host that fails this often in a row, over more than this time, is skipped until the next run: a dead host with
#: 100,000 images would take days.
HOST_FAILURES, HOST_PATIENCE_S = 8, 120.0


class FetchError(Exception):
    """Why there is no image, in a few words for the ledger."""


class PermanentError(FetchError):
    """Another request would fail in the same way."""


class DeferredError(FetchError):
    """Not retried in this run, but in the next one."""


class RetryableError(FetchError):
    """May be temporary: retried in this run."""


class _PrivateAddress(OSError):
    """The address of a socket is in a private network."""


@dataclass(frozen=True)
class FetchedImage:
    """An image as it was received, and the type that its first bytes show."""

    data: bytearray
    content_type: str
    ending: str


def identify_image(data: bytearray) -> FetchedImage:
    """Identify an image by its first bytes, whatever type the server claims.

    Raises:
        PermanentError: if it is of none of the formats in `vip5core.picture_formats`.
    """
    if not data:
        raise PermanentError("empty")
    form = format_of(data)
    if form is None:
        raise PermanentError(f"{why_unread(data)}: begins with {bytes(data[:16])!r}")
    return FetchedImage(data, form.content_type, form.endings[0])


@dataclass
class _Host:
    """The state of one host."""

    slots: asyncio.Semaphore
    not_before: float = 0.0  # seconds of the monotonic clock
    failures: int = 0  # in a row
    failing_since: float = 0.0

    async def ready(self) -> None:
        """Wait as long as the host asked for.

        Raises:
            DeferredError: if that is too long, or the host keeps failing.
        """
        failing_s = time.monotonic() - self.failing_since
        if self.failures >= HOST_FAILURES and failing_s > HOST_PATIENCE_S:
            raise DeferredError(f"not requested: its host failed {self.failures} times in a row")
        while (wait_s := self.not_before - time.monotonic()) > 0:
            if wait_s > LONGEST_WAIT_S:
                raise DeferredError(f"its host asked to wait {wait_s:.0f} s")
            await asyncio.sleep(wait_s)

    def count_failure(self) -> None:
        if self.failures == 0:
            self.failing_since = time.monotonic()
        self.failures += 1


class Fetcher:
    """Fetches images concurrently; `async with` opens and closes its connections."""

    def __init__(self, options: DownloadOptions) -> None:
        self._options = options
        self._anywhere = asyncio.Semaphore(options.concurrency)
        self._hosts: defaultdict[str, _Host] = defaultdict(lambda: _Host(asyncio.Semaphore(options.per_host)))
        self._session = aiohttp.ClientSession(
            # limit=0: the semaphores limit the connections, over redirects too
            connector=aiohttp.TCPConnector(
                limit=0, resolver=aiohttp.ThreadedResolver(), socket_factory=self._open_socket
            ),
            timeout=aiohttp.ClientTimeout(total=options.timeout_s),
            headers={"User-Agent": USER_AGENT, "Accept": "image/*", "Accept-Encoding": "identity"},
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,  # nothing is decompressed before it is rejected
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def fetch(self, url: URL) -> FetchedImage:
        """Fetch the image at `url`, with as many attempts as the options allow.

        Raises:
            FetchError: why there is no image.
        """
        for attempt in range(1, self._options.attempts):
            try:
                return await self._follow(url)
            except RetryableError:
                wait_s = self._options.backoff_s * 2 ** (attempt - 1) * random.uniform(0.5, 1.5)
                await asyncio.sleep(min(wait_s, LONGEST_WAIT_S))
        return await self._follow(url)

    async def _follow(self, url: URL) -> FetchedImage:
        """Follow redirects one by one, so that each hop is checked and limited like the first."""
        for _ in range(MAX_REDIRECTS + 1):
            answer = await self._ask(url)
            if isinstance(answer, FetchedImage):
                return answer
            url = answer
        raise PermanentError(f"more than {MAX_REDIRECTS} redirects")

    async def _ask(self, url: URL) -> FetchedImage | URL:
        """Make one request within the limits; returns the image, or the address that it redirects to."""
        host = self._hosts[host_of(url)]
        # This order cannot deadlock (who holds the inner one waits for nothing), and a slow host delays only itself.
        async with host.slots:
            await host.ready()
            async with self._anywhere:
                try:
                    async with self._session.get(url, allow_redirects=False) as response:
                        answer = await self._read(response, host)
                except Exception as error:  # whatever a server causes is a row of the ledger, not the end of the run
                    failure = self._failure(error)
                    if isinstance(failure, RetryableError):
                        host.count_failure()
                    else:
                        host.failures = 0
                    raise failure from None
                host.failures = 0
                return answer

    async def _read(self, response: aiohttp.ClientResponse, host: _Host) -> FetchedImage | URL:
        status, headers = response.status, response.headers
        if status in (301, 302, 303, 307, 308):
            try:
                return parse_address(headers.get("Location", ""), response.url)
            except ValueError as error:
                raise PermanentError(f"redirects to a bad address: {error}") from None
        if status in (429, 503):
            host.not_before = max(host.not_before, time.monotonic() + _retry_after_s(headers.get("Retry-After", "")))
        if status in (408, 425, 429) or status >= 500:
            raise RetryableError(f"HTTP {status}")
        if status in (401, 403):  # often a temporary block of robots: worth another try, but not in this run
            raise DeferredError(f"HTTP {status}")
        if status != 200:
            raise PermanentError(f"HTTP {status}")
        if headers.get("Content-Encoding", "identity").lower() != "identity":
            raise PermanentError("compressed, although not requested")
        return identify_image(await self._body(response))

    async def _body(self, response: aiohttp.ClientResponse) -> bytearray:
        limit = self._options.max_bytes
        body = bytearray()
        if (response.content_length or 0) <= limit:
            async for chunk in response.content.iter_any():
                if len(body) + len(chunk) > limit:
                    break
                body += chunk
            else:
                return body
        response.close()  # the rest is not needed
        raise PermanentError(f"larger than {limit} bytes")

    def _open_socket(self, info: Any) -> socket.socket:
        """The socket of one connection, given a row of `getaddrinfo`.

        This is the only place where addresses are checked: the address here is the one that is connected to, so that no
        spelling, no redirect and no name server that changes its answer can bypass the check.
        """
        family, kind, protocol, _, address = info
        if not self._options.allow_private and not is_public(address[0]):
            raise _PrivateAddress(f"private address {address[0]}")
        return socket.socket(family, kind, protocol)

    def _failure(self, error: Exception) -> FetchError:
        """The failure that an exception stands for."""
        cause = getattr(error, "os_error", None)
        match error:
            case FetchError():
                return error
            case TimeoutError():
                return RetryableError(f"not finished within {self._options.timeout_s:g} s")
            case aiohttp.ClientPayloadError():
                return RetryableError("truncated")
            case aiohttp.ClientConnectorDNSError():
                return RetryableError("host name not found")
            case aiohttp.ClientConnectorCertificateError():
                return DeferredError("invalid certificate")
            case aiohttp.ClientSSLError():
                return RetryableError("TLS connection failed")
            case aiohttp.ClientConnectorError() if isinstance(cause, _PrivateAddress):
                return PermanentError(str(cause))
            case aiohttp.ClientConnectorError():
                return RetryableError(
                    f"cannot connect: {os.strerror(error.errno) if error.errno else 'no address responds'}"
                )
            case _:
                return RetryableError(f"connection failed: {type(error).__name__}")


def _retry_after_s(value: str) -> float:
    """The seconds that a Retry-After header asks for (as a number or a date); 0 if it is not valid."""
    if value.strip().isdecimal():
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return 0.0
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
