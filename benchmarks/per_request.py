"""What a request of the site pays: for the middleware, for loading a connection, and for ``request.salesforce``.

Run with ``python -m benchmarks.per_request``.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.project import connect, project
from benchmarks.turns import Comparison, in_turns, verdict

REQUESTS = 2_000
MICROSECOND = 1e-6


class Request:
    """What a middleware needs of one."""


def middleware() -> bool:
    """The time that it adds to a request which does not touch ``request.salesforce``."""
    from django_sf_oauth.middleware import SalesforceMiddleware

    def view(request: Any) -> Any:
        return request

    async def async_view(request: Any) -> Any:
        return request

    installed: Any = SalesforceMiddleware(view)
    async_installed: Any = SalesforceMiddleware(async_view)

    def serve(handler: Callable[[Any], Any]) -> None:
        for _request in range(REQUESTS):
            handler(Request())

    async def aserve(handler: Callable[[Any], Any]) -> None:
        for _request in range(REQUESTS):
            await handler(Request())

    with asyncio.Runner() as runner:
        calls = {
            "sync, without": lambda: serve(view),
            "sync": lambda: serve(installed),
            "async, without": lambda: runner.run(aserve(async_view)),
            "async": lambda: runner.run(aserve(async_installed)),
        }
        found = in_turns(calls, rounds=300)
    print("\nThe middleware, for a request that does not use it")
    met = True
    for name in ("sync", "async"):
        added = (found[name] - found[f"{name}, without"]) / REQUESTS / MICROSECOND
        met = met and added <= 1
        print(f"  {name:48} {added:10.2f} µs   goal ≤ 1.00  {verdict(added <= 1)}")
    return met


def loading() -> bool:
    """A connection beside a model of the same columns that seals and guards nothing."""
    from django.db import models

    from django_sf_oauth.fields import SealedTextField
    from django_sf_oauth.models import SalesforceConnection

    def as_plain(field: Any) -> Any:
        if field.primary_key:
            return models.BigAutoField(primary_key=True)
        if field.is_relation:
            return models.ForeignKey(field.related_model, on_delete=models.CASCADE, related_name="+")
        return models.BinaryField(null=True) if isinstance(field, SealedTextField) else field.clone()

    columns = {field.name: as_plain(field) for field in SalesforceConnection._meta.concrete_fields}
    options = {"app_label": "auth", "managed": False, "db_table": SalesforceConnection._meta.db_table}
    body = {"__module__": __name__, "Meta": type("Meta", (), options), **columns}
    plain: Any = type("Plain", (models.Model,), body)
    pk = connect().pk
    return Comparison(
        title="Loading one row",
        peer="objects.get() of a plain model, same columns",
        calls={
            "objects.get() of a plain model, same columns": lambda: plain.objects.get(pk=pk),
            "SalesforceConnection.objects.get()": lambda: SalesforceConnection.objects.get(pk=pk),
        },
        goals={"SalesforceConnection.objects.get()": 1.05},
    ).show()


def request_salesforce() -> bool:
    """Queries and decryptions of the first and the second use in one request."""
    from django.http import HttpRequest

    from django_sf_oauth.middleware import SalesforceMiddleware

    connection = connect()
    connection.touch()  # which has written, for this hour, that it is in use
    requests: list[Any] = []
    SalesforceMiddleware(requests.append)(HttpRequest())
    requests[0].user = connection.user
    print("\nrequest.salesforce, to the signed request")
    met = True
    for use, goal in (("first use", 1), ("second use", 0)):
        with counting() as counts:
            client = requests[0].salesforce
            client.auth(_prepared(f"{client.connection.instance_url}/services/data/"))
        reached = max(counts.values()) <= goal
        met = met and reached
        found = ", ".join(f"{number} {name}" for name, number in counts.items())
        print(f"  {use:48} {found}   goal ≤ {goal} of each  {verdict(reached)}")
    return met


def _prepared(url: str) -> Any:
    import requests

    return requests.Request("GET", url).prepare()


@contextmanager
def counting() -> Iterator[dict[str, int]]:
    """Counts queries and decryptions."""
    from unittest.mock import patch

    from cryptography.fernet import Fernet
    from django.db import connection

    counts = {"queries": 0, "decrypts": 0}
    decrypt = Fernet.decrypt

    def count_query(execute: Callable[..., Any], *args: Any) -> Any:
        counts["queries"] += 1
        return execute(*args)

    def count_decrypt(*args: Any, **kwargs: Any) -> bytes:
        counts["decrypts"] += 1
        return decrypt(*args, **kwargs)

    with connection.execute_wrapper(count_query), patch.object(Fernet, "decrypt", count_decrypt):
        yield counts


def main() -> bool:
    """Whether all goals are met."""
    with project():
        return all([middleware(), loading(), request_salesforce()])


if __name__ == "__main__":
    sys.exit(not main())
