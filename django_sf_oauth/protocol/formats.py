"""The three formats in which Salesforce answers: JSON, form-encoded and XML (``format=``)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl
from xml.etree.ElementTree import ParseError, TreeBuilder, XMLParser

MOST_FIELDS = 200

_UNREADABLE = (ValueError, LookupError, RecursionError, ParseError)


def read_fields(content_type: str, body: bytes) -> Mapping[str, Any] | None:
    """The members of an answer by name; None when it is not one object of unique names.

    Values are text, except in JSON, where they are whatever came. An empty XML element is an empty text.
    The first byte tells the format: errors arrive form-encoded under other types. Only HTML is believed.
    """
    body = body.strip()
    if not body or "html" in content_type.lower():
        return None
    read = _READERS.get(body[:1], _read_form)
    try:
        return read(body)
    except _UNREADABLE:
        return None


def is_json(body: bytes) -> bool:
    """Whether it is JSON of any kind: what a machine wrote, then, rather than a proxy's page."""
    try:
        json.loads(body)
    except _UNREADABLE:
        return False
    return True


def _read_json(body: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(body.decode("utf-8"), object_pairs_hook=_unique)
    return found


def _read_form(body: bytes) -> dict[str, Any]:
    text = body.decode("ascii")
    return _unique(parse_qsl(text, strict_parsing=True, keep_blank_values=True, max_num_fields=MOST_FIELDS))


def _read_xml(body: bytes) -> dict[str, Any]:
    parser = XMLParser(target=_PlainBuilder())  # noqa: S314  no DOCTYPE, hence no entities and nothing external
    parser.feed(body)
    # The name of the root is not documented, nor is a namespace: the names of its children are.
    return _unique((child.tag.rpartition("}")[2], (child.text or "").strip()) for child in parser.close())


class _PlainBuilder(TreeBuilder):
    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise ValueError("entities can only be declared in a DOCTYPE")


def _unique(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    # Two readers of one answer may take different duplicates.
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError("duplicate name")
        found[name] = value
    return found


_READERS: Mapping[bytes, Callable[[bytes], dict[str, Any]]] = {b"{": _read_json, b"<": _read_xml}
