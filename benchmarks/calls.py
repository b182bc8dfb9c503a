"""What an API call costs beside requests itself: warm, by a client made for it, and to many orgs in turn.

Run with ``python -m benchmarks.calls``. The orgs are on loopback, so a real call hides most of what is seen here.
"""

from __future__ import annotations

import os
import sys
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from requests.utils import DEFAULT_CA_BUNDLE_PATH

from benchmarks.orgs import make_certificate, serving
from benchmarks.project import connect, project
from benchmarks.turns import Comparison

PATH = "/services/data/v66.0/query"
ORGS = 100


class HeaderAuth(AuthBase):
    """What a careful user of requests writes."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = "Bearer token"
        return request


def bare_session() -> requests.Session:
    session = requests.Session()
    session.headers["Authorization"] = "Bearer token"
    return session


def warm_call(org: str) -> bool:
    """One connection, one client, one call after the other."""
    url, headers = org + PATH, {"Authorization": "Bearer token"}
    bare, with_auth, pool = bare_session(), requests.Session(), urllib3.PoolManager()
    with_auth.auth = HeaderAuth()
    client = connect(instance_url=org).client()
    return Comparison(
        title="A warm call: 1 KB of JSON over http",
        peer="requests.Session, header set by hand",
        calls={
            "requests.Session, header set by hand": lambda: bare.get(url).json(),
            "requests.Session, auth= object": lambda: with_auth.get(url).json(),
            "urllib3 alone, the floor": lambda: pool.request("GET", url, headers=headers).json(),
            "connection.client()": lambda: client.get("query").json(),
        },
        goals={"connection.client()": 0.90},
    ).show()


def new_client(org: str) -> bool:
    """A client for each call, as one request of a site after the other makes them."""
    url = org + PATH
    bare, connection = bare_session(), connect(instance_url=org)
    kept = connection.client()
    return Comparison(
        title="A client for each call, over TLS",
        peer="one requests.Session, kept",
        calls={
            "one requests.Session, kept": lambda: bare.get(url).json(),
            "one connection.client(), kept": lambda: kept.get("query").json(),
            "a new connection.client() each time": lambda: connection.client().get("query").json(),
        },
        slow={"a new requests.Session each time": lambda: bare_session().get(url).json()},
        goals={"a new connection.client() each time": 1.06},
    ).show()


def many_orgs(orgs: list[str]) -> bool:
    """As many connections as orgs, called in turn, beside as many of one org."""
    usual, roomy, urls = bare_session(), bare_session(), cycle(org + PATH for org in orgs)
    roomy.mount("https://", HTTPAdapter(pool_connections=2 * len(orgs)))
    spread = [connect(instance_url=org).client() for org in orgs]
    together = [connect(instance_url=orgs[0]).client() for _ in orgs]
    for client in spread + together:
        client.get("query")
        roomy.get(next(urls))
    each, one = cycle(spread), cycle(together)
    return Comparison(
        title=f"{len(orgs)} connections in turn, over TLS",
        peer="connection.client(), all of one org",
        calls={
            "connection.client(), all of one org": lambda: next(one).get("query").json(),
            "connection.client(), each of its own org": lambda: next(each).get("query").json(),
            "one requests.Session with 200 pools, each org": lambda: roomy.get(next(urls)).json(),
        },
        slow={"one requests.Session, each org": lambda: usual.get(next(urls)).json()},
        goals={"connection.client(), each of its own org": 1.05},
    ).show()


def trust(certificate: Path) -> None:
    """Adds the certificate to those of the system, whose number makes a TLS context dear."""
    bundle = certificate.with_name("bundle.pem")
    bundle.write_bytes(Path(DEFAULT_CA_BUNDLE_PATH).read_bytes() + certificate.read_bytes())
    os.environ["REQUESTS_CA_BUNDLE"] = str(bundle)


def main() -> bool:
    """Whether all goals are met."""
    with TemporaryDirectory() as folder:
        certificate = make_certificate(Path(folder))
        trust(certificate)
        with (
            serving(1) as [plain],
            serving(ORGS, certificate) as orgs,
            project(TRUSTED_HOSTS=[url.partition("://")[2] for url in (plain, *orgs)]),
        ):
            return all([warm_call(plain), new_client(orgs[0]), many_orgs(orgs)])


if __name__ == "__main__":
    sys.exit(not main())
