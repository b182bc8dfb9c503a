"""The three shapes of an answer. ``format=json|urlencoded|xml`` beats the Accept header; JSON is the default."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from urllib.parse import urlencode
from xml.sax.saxutils import escape

from .http import JSON, Request, Response, respond

Values = Mapping[str, str]


def as_xml(values: Values) -> str:
    children = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in values.items())
    return f'<?xml version="1.0" encoding="UTF-8"?><OAuth>{children}</OAuth>'


WRITERS: Mapping[str, tuple[str, Callable[[Values], str]]] = {
    "json": (JSON, json.dumps),
    "urlencoded": ("application/x-www-form-urlencoded;charset=UTF-8", urlencode),
    "xml": ("application/xml;charset=UTF-8", as_xml),
}
ACCEPTED = {
    "application/json": "json",
    "application/x-www-form-urlencoded": "urlencoded",
    "application/xml": "xml",
}


def answer(request: Request, values: Values, *, status: int = 200, default: str = "json") -> Response:
    """Writes the values in the format that the request asks for."""
    accepted = (kind.partition(";")[0].strip() for kind in request.headers.get("accept", "").split(","))
    by_header = next((ACCEPTED[kind] for kind in accepted if kind in ACCEPTED), default)
    content_type, write = WRITERS.get(request.form.get("format", ""), WRITERS[by_header])
    response = respond(write(values), status=status, content_type=content_type)
    return replace(response, error=values.get("error", ""), detail=values.get("error_description", ""))
