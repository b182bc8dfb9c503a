"""The net has no hole: a secret that is leaked on purpose is found in each kind of sink."""

from __future__ import annotations

import base64
import logging
import sys
import warnings
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from django.core import mail
from django.db import connection
from django.http import HttpResponse

from django_sf_oauth.models import ConnectionEvent, SalesforceConnection
from tests.factories import make_connection

from .browsing import Browser
from .conftest import Site
from .nets import SINKS, Net, warned
from .plants import planted, traces

pytestmark = pytest.mark.django_db(transaction=True)

logger = logging.getLogger("requests_oauthlib")


def raised(error: Exception) -> Exception:
    try:
        raise error
    except Exception as caught:
        return caught


def caused(cause: BaseException | None, *, hidden: bool = False) -> Exception:
    try:
        try:
            raise cause or RuntimeError
        except RuntimeError as error:
            raise ValueError from (None if hidden else error)
    except ValueError as caught:
        return caught


def in_a_frame_of_ours(secret: str) -> Exception:
    """An error of the package, with a secret in a variable of the frame that it came through."""
    file = sys.modules["django_sf_oauth.conf"].__file__ or ""
    names: dict[str, Any] = {}
    exec(compile("def fail(secret):\n    raise RuntimeError", file, "exec"), names)  # noqa: S102  # our own text
    with pytest.raises(RuntimeError) as caught:
        names["fail"](secret)
    return caught.value


def log_with_traceback(secret: str) -> None:
    try:
        raise RuntimeError(secret)
    except RuntimeError:
        logger.exception("failed")


def in_a_row(site: Site, secret: str) -> None:
    ConnectionEvent.objects.create(kind="connected", app="default", reason=secret[:64])


def in_a_query(site: Site, secret: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT %s", [secret])


def on_a_page(site: Site, secret: str, response: HttpResponse) -> None:
    browser = Browser(site.net, site.user)
    browser.handler = lambda environ: _answered(response)  # type: ignore[assignment]
    browser.get("/")


def _answered(response: HttpResponse) -> Any:
    response.wsgi_request = SimpleNamespace()  # type: ignore[attr-defined]
    response.resolver_match = None  # type: ignore[attr-defined]
    return response


Leak = Callable[[Site, str], object]
LEAKS: dict[str, tuple[str, Leak]] = {
    "message": ("log", lambda site, secret: logger.debug(secret)),
    "argument": ("log", lambda site, secret: logger.debug("%s", secret)),
    "argument-in-a-mapping": ("log", lambda site, secret: logger.debug("%(a)s", {"a": 1, "b": secret})),
    "extra": ("log", lambda site, secret: logger.debug("x", extra={"token": secret})),
    "logged-traceback": ("exception", lambda site, secret: log_with_traceback(secret)),
    "argument-of-an-error": ("exception", lambda site, secret: site.net.see(raised(RuntimeError(secret)))),
    "cause": ("exception", lambda site, secret: site.net.see(caused(RuntimeError(secret)))),
    "hidden-context": ("exception", lambda site, secret: site.net.see(caused(RuntimeError(secret), hidden=True))),
    "variable": ("locals", lambda site, secret: site.net.see(in_a_frame_of_ours(secret))),
    "debug-page": ("debug page", lambda site, secret: site.net.see(in_a_frame_of_ours(secret))),
    "error-report": ("error report", lambda site, secret: site.net.see(in_a_frame_of_ours(secret))),
    "mail": ("mail", lambda site, secret: mail.send_mail("x", "é " * 40 + secret, "a@x.example", ["b@x.example"])),
    "row": ("row", in_a_row),
    "repr": ("repr", in_a_row),
    "fixture": ("fixture", in_a_row),
    "pickle": ("pickle", in_a_row),
    "sql": ("sql", in_a_query),
    "stdout": ("output", lambda site, secret: print(secret)),  # noqa: T201  # it is what is looked for
    "stderr": ("output", lambda site, secret: sys.stderr.write(secret)),
    "page": ("page", lambda site, secret: on_a_page(site, secret, HttpResponse(secret))),
    "header": ("page", lambda site, secret: on_a_page(site, secret, HttpResponse(headers={"Location": secret}))),
}


@pytest.mark.parametrize(("sink", "leak"), LEAKS.values(), ids=LEAKS.keys())
def test_a_leak_is_found(site: Site, check: Any, sink: str, leak: Leak) -> None:
    leak(site, planted("access"))

    assert any(hit.startswith(f"{sink}: ['access']") for hit in check())


def test_a_warning_that_leaks_is_found(net: Net) -> None:
    with warned(net):
        warnings.warn(planted("access"), stacklevel=1)

    assert [hit.partition(":")[0] for hit in net.hits()] == ["warning"]


def test_each_sink_is_tried() -> None:
    tried = {sink for sink, _ in LEAKS.values()} | {"warning", "broker"}  # these have tests of their own

    assert tried == set(SINKS)


@pytest.mark.parametrize(
    "encode",
    [
        lambda secret: base64.b64encode(secret.encode()).decode(),
        lambda secret: base64.b64encode(b"a" + secret.encode()).decode(),
        lambda secret: base64.urlsafe_b64encode(b"ab" + secret.encode()).decode(),
        lambda secret: secret.encode().hex(),
        lambda secret: f"{secret[:12]}=\n{secret[12:]}",
        lambda secret: repr(secret.encode()),
    ],
    ids=["base64", "shifted-once", "shifted-twice", "hex", "folded", "bytes"],
)
def test_an_encoded_secret_is_found(encode: Callable[[str], str]) -> None:
    assert traces(encode(planted("refresh")))


def test_what_is_sealed_is_no_leak(site: Site, check: Any) -> None:
    make_connection(access_token=planted("access"), refresh_token=planted("refresh"))

    assert SalesforceConnection.objects.exists()
    assert check() == []
