"""Which addresses may be requested: http(s), in an unambiguous form, and on the public internet."""

from __future__ import annotations

import ipaddress
import re

from yarl import URL

_NAME = re.compile(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?", re.IGNORECASE)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def parse_address(text: str, base: URL | None = None) -> URL:
    """Parse an address, relative to `base` (the address that redirected here).

    Printable ASCII is sent exactly as written, because a signed address must not be requoted.

    Raises:
        ValueError: with a short reason, if the address is empty, is not http(s), has no valid host or port, contains a
            user name (a secret, or a way to disguise the host), or has an IPv4 host that is not four decimal numbers.
    """
    text = text.strip()
    if not text:
        raise ValueError("empty")
    url = URL(text, encoded=all("!" <= sign <= "~" for sign in text))
    if base is not None:
        url = base.join(url)
    if url.scheme not in ("http", "https"):
        raise ValueError("not http or https")
    if url.raw_user is not None or url.raw_password is not None:
        raise ValueError("contains a user name")
    if not url.port:
        raise ValueError("port 0")
    host = url.raw_host or ""
    if ":" in host:
        if "%" in host:
            raise ValueError("contains an IPv6 zone")
        ipaddress.IPv6Address(host)
    elif not _NAME.fullmatch(host) or len(host) > 253:
        raise ValueError("no valid host name")
    elif re.fullmatch(r"\d+|0x[0-9a-f]*", host.rstrip(".").split(".")[-1].lower()):
        ipaddress.IPv4Address(host)  # rejects 2130706433, 0x7f.1 and 127.1, which C libraries take for 127.0.0.1
    return url


def host_of(url: URL) -> str:
    """The host of a parsed address, normalised so that requests to one host are counted together."""
    return (url.raw_host or "").lower().rstrip(".")


def is_public(address: str) -> bool:
    """Whether a numeric address is on the public internet: in no private, local, shared, multicast or reserved network.

    An IPv6 address that embeds an IPv4 address must be public as both.
    """
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return is_public(str(ip.ipv4_mapped))
        if ip in _NAT64:  # how networks without IPv4 reach IPv4 hosts
            return is_public(str(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)))
        if ip.is_site_local or (ip.sixtofour is not None and not is_public(str(ip.sixtofour))):
            return False
    return ip.is_global and not ip.is_multicast and not ip.is_reserved
