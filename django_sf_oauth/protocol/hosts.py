"""Which hosts are Salesforce: where a token, a code or a secret may be sent.

URLs reach us from token answers, settings and forms. Libraries disagree about odd ones (``https://a@b``,
``https://a\\b``), so only plain ones are read and all others are refused.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, ip_address

# The domains that Salesforce itself operates for orgs. Sites on a customer's own domain, and .site.com, are
# for the operator to trust by name.
DEFAULT_HOST_SUFFIXES: tuple[str, ...] = (
    ".salesforce.com",
    ".force.com",
    ".cloudforce.com",
    ".database.com",
    ".salesforce.mil",
    ".crmforce.mil",
    ".sfcrmproducts.cn",
)

DEFAULT_PORTS = {"https": 443, "http": 80}
HIGHEST_PORT = 65535
LONGEST_ORIGIN = len("https://:65535") + 253  # characters: a host name has no more (RFC 1035 section 2.3.4)

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST = rf"{_LABEL}(?:\.{_LABEL})*|\[[0-9a-f:.]{{2,45}}\]"
_AUTHORITY = rf"(?P<host>{_HOST})(?::(?P<port>[1-9][0-9]{{0,4}}))?"
# ASCII on purpose: with Unicode matching, [a-z] and IGNORECASE would let in the Kelvin sign and the long s.
_ORIGIN = re.compile(rf"(?P<scheme>https?)://{_AUTHORITY}", re.ASCII | re.IGNORECASE)
_BEYOND = re.compile(r"[/?#]")  # where the authority ends
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:", re.ASCII | re.IGNORECASE)

# NAME.my.salesforce.com, and with a partition NAME--SANDBOX.sandbox.my.salesforce.com (.develop, .scratch).
_MY_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})?\.my\.salesforce\.(?:com|mil)")
_SANDBOX_MY_DOMAIN = re.compile(rf"{_LABEL}\.sandbox\.my\.salesforce\.(?:com|mil)")

_LOOPBACK_V4 = IPv4Network("127.0.0.0/8")
_LOOPBACK_V6 = IPv6Address("::1")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Origin:
    scheme: str
    host: str
    port: int

    @property
    def netloc(self) -> str:
        return self.host if self.port == DEFAULT_PORTS[self.scheme] else f"{self.host}:{self.port}"

    def is_listed(self, hosts: Sequence[str]) -> bool:
        names = {self.netloc, f"{self.host}:{self.port}"}
        return any(host.lower() in names for host in hosts)


def origin_of(url: str) -> str | None:
    """The ``scheme://host[:port]`` of an http(s) URL, lower-case, without a default port.

    None when the URL is anything but plain: userinfo, a backslash before the query, control characters, a
    trailing dot, a host that is not ASCII, a port with a leading zero.
    """
    origin = _parse(url)
    return None if origin is None else f"{origin.scheme}://{origin.netloc}"


def host_of(url: str) -> str:
    """``host`` or ``host:port`` of the URL, as `origin_of` normalises it; empty when it has none."""
    return (origin_of(url) or "").partition("://")[2]


def host_family(url: str) -> str:
    """Whose domain a URL is on: the one of Salesforce that it is under, else its own host; empty when not plain.

    An instance moves within its family; out of it, it does not.
    """
    host = host_of(url)
    return next((suffix for suffix in DEFAULT_HOST_SUFFIXES if host.endswith(suffix)), host)


def is_trusted_url(url: str, trusted_hosts: Sequence[str] = ()) -> bool:
    """Whether a token may be sent there.

    Args:
        url: its path does not matter.
        trusted_hosts: beside Salesforce's own: ``host`` (on the default port of the scheme) or ``host:port``;
            IPv6 in brackets. Plain http is trusted for a loopback address only.
    """
    origin = _parse(url)
    if origin is None:
        return False
    if origin.scheme == "http":
        return _is_loopback(origin.host) and origin.is_listed(trusted_hosts)
    return _is_salesforce(origin) or origin.is_listed(trusted_hosts)


def is_login_host(host: str, login_hosts: Sequence[str], trusted_hosts: Sequence[str] = ()) -> bool:
    """Whether a user may log in at this ``host`` or ``host:port``: listed, trusted, or a My Domain."""
    origin = _parse(f"https://{host}")
    if origin is None or _has_path(host):
        return False
    if origin.is_listed(login_hosts) or origin.is_listed(trusted_hosts):
        return True
    return _MY_DOMAIN.fullmatch(origin.netloc) is not None


def is_loopback_host(host: str) -> bool:
    """Whether a ``host`` or ``host:port`` is this very machine."""
    origin = _parse(f"https://{host}")
    return origin is not None and _is_loopback(origin.host)


def is_sandbox_url(url: str) -> bool:
    """Whether a login or instance URL says by its name that the org is a sandbox."""
    origin = _parse(url)
    if origin is None:
        return False
    return origin.host == "test.salesforce.com" or _SANDBOX_MY_DOMAIN.fullmatch(origin.host) is not None


def join_instance_url(instance_url: str, path: str, api_version: str) -> str:
    """The URL of an API resource.

    Args:
        instance_url: as Salesforce gave it.
        path: ``query`` is relative to the versioned REST root, ``/services/data/`` to the instance; a whole
            http(s) URL is kept. It may hold a query.
        api_version: ``"66.0"``.

    Raises:
        ValueError: a path that some library could read as another host, or an instance that is no plain URL.
    """
    instance = origin_of(instance_url)
    if _SCHEME.match(path):
        url = path
    elif path.startswith("/"):
        url = f"{instance}{path}"
    else:
        url = f"{instance}/services/data/v{api_version}/{path}"
    if instance is None or path.startswith("//") or origin_of(url) is None:
        raise ValueError("This path cannot be joined to this instance URL.")
    return url


def same_origin(a: str, b: str) -> bool:
    """Whether both are plain URLs of one scheme, host and port."""
    origin = _parse(a)
    return origin is not None and origin == _parse(b)


def _parse(url: str) -> _Origin | None:
    if _CONTROL.search(url) or "\\" in url.partition("?")[0]:
        return None
    scheme, mark, rest = url.partition("://")
    beginning = scheme + mark + _BEYOND.split(rest, 1)[0]
    try:
        return _origin(beginning) if len(beginning) <= LONGEST_ORIGIN else None
    except ValueError:
        return None


@lru_cache(maxsize=1024)
def _origin(beginning: str) -> _Origin:
    """Keeps what is an origin. The rest may be long or secret, and raises a ValueError, which is not kept."""
    match = _ORIGIN.fullmatch(beginning)
    if match is None:
        raise ValueError
    scheme = match["scheme"].lower()
    host = _normal_host(match["host"].lower())
    port = int(match["port"] or DEFAULT_PORTS[scheme])
    if host is None or port > HIGHEST_PORT:
        raise ValueError
    return _Origin(scheme=scheme, host=host, port=port)


def _normal_host(host: str) -> str | None:
    if not host.startswith("["):
        return host
    try:
        return f"[{IPv6Address(host[1:-1])}]"
    except ValueError:
        return None


def _is_salesforce(origin: _Origin) -> bool:
    return origin.port == DEFAULT_PORTS["https"] and origin.host.endswith(DEFAULT_HOST_SUFFIXES)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        address = ip_address(host.strip("[]"))
    except ValueError:
        return False
    return address == _LOOPBACK_V6 or address in _LOOPBACK_V4


def _has_path(host: str) -> bool:
    return any(mark in host for mark in "/?#")
