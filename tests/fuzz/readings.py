"""How others read an address: requests when it connects, and a browser when it is sent somewhere."""

from __future__ import annotations

import re

import requests
from urllib3.util import parse_url

__all__ = ["browser_host", "wire_origin"]

SCHEME = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*):(?P<rest>.*)", re.IGNORECASE | re.DOTALL)
PORTS = {"https": 443, "http": 80}


def wire_origin(url: str) -> tuple[str, str, int] | None:
    """Scheme, host and port that requests would connect to; None when it refuses the URL."""
    try:
        prepared = requests.Request("GET", url).prepare()
    except (requests.RequestException, ValueError):
        return None
    parts = parse_url(prepared.url or "")
    scheme = (parts.scheme or "").lower()
    return scheme, (parts.host or "").lower(), parts.port or PORTS.get(scheme, 0)


def browser_host(url: str, *, base_scheme: str, base_host: str) -> str:
    """The host that a browser on this site would go to, by the URL standard of the WHATWG."""
    text = re.sub(r"[\t\r\n]", "", url.strip("".join(map(chr, range(33)))))
    scheme, rest = base_scheme, text
    if match := SCHEME.fullmatch(text):
        scheme, rest = match["scheme"].lower(), match["rest"]
        if scheme not in PORTS:
            return f"{scheme}:"  # another program's
    rest = rest.replace("\\", "/")
    leads_on = rest.startswith("//") or (match is not None and scheme != base_scheme)
    if not leads_on:
        return base_host
    authority = re.split(r"[/?#]", rest.lstrip("/"), maxsplit=1)[0]
    return authority.rpartition("@")[2].lower()
