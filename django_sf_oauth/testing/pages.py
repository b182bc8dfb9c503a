"""Renders the fake's pages with an engine of its own, so that no setting of the site's templates matters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from django.template import Context, Engine

from .http import HTML, Request, Response, respond, respond_word

HERE = Path(__file__).parent
ASSETS = {
    "/__fake__/style.css": ("style.css", "text/css;charset=UTF-8"),
    "/__fake__/mark.svg": ("mark.svg", "image/svg+xml"),
}
HEADERS = {
    # The consent form ends in a redirect to the site, which form-action would stop elsewhere than Salesforce.
    "Content-Security-Policy": "default-src 'self'; form-action *; frame-ancestors 'none'; base-uri 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@cache
def _engine() -> Engine:
    return Engine(dirs=[str(HERE / "templates")])


def page(template: str, context: Mapping[str, Any], *, status: int = 200, **headers: str) -> Response:
    """Renders ``templates/<template>``."""
    # Without localisation, which would ask for the app registry.
    html = _engine().get_template(template).render(Context(dict(context), use_l10n=False))
    response = respond(html, status=status, content_type=HTML, **headers)
    return replace(response, headers={**response.headers, **HEADERS})


def asset(request: Request) -> Response:
    """The style sheet and the mark."""
    if request.path not in ASSETS:
        return respond_word("Not Found", status=404)
    name, content_type = ASSETS[request.path]
    return respond((HERE / "templates" / name).read_text(encoding="utf-8"), content_type=content_type)


def expired_form() -> Response:
    """The answer to a form that this browser did not get from us."""
    return page("expired_form.html", {}, status=403)


def maintenance() -> Response:
    return page("maintenance.html", {}, status=503)
