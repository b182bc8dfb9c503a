"""What a failed API call means to the session that made it: each surface says "expired" in its own way."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["expired", "not_refreshable", "forbidden", "limit", "other"]

LONGEST_CODE = 64

# Three spellings of one thing: REST and SOAP, Bulk 1.0, userinfo and the identity URL.
_EXPIRED_CODES = frozenset({"INVALID_SESSION_ID", "InvalidSessionId", "Bad_OAuth_Token"})
_LIMIT_CODES = frozenset({"REQUEST_LIMIT_EXCEEDED", "RequestLimitExceeded"})
# Said with INVALID_SESSION_ID, yet a new token would be refused alike, again and again.
_INCURABLE = ("not valid for use with the rest api", "not attached to agent")

_XML_CODE = re.compile(r"<(?:\w+:)?(?:faultcode|exceptionCode|errorCode)\b[^>]*>(?:\w+:)?(\w+)</", re.ASCII)
_PLAIN_CODE = re.compile(r"\w{1,64}", re.ASCII)


@dataclass(frozen=True, kw_only=True, slots=True)
class ApiFailure:
    """An unsuccessful answer of an API. It holds no text of the answer except the code.

    Attributes:
        kind: ``expired``: a refresh may cure it; ``not_refreshable``: the session is refused for another
            reason; ``forbidden``: about the user's rights; ``limit``: too many API calls; ``other``.
        code: Salesforce's own, of letters, digits and underscores, at most 64; empty when there is none.
    """

    kind: Kind
    code: str
    status: int


def read_api_failure(*, status: int, content_type: str, body: bytes) -> ApiFailure:
    """Reads an answer of REST, Bulk, SOAP, userinfo or the identity URL whose status is 400 or above.

    Args:
        body: as much of it as the caller cares to read; empty for HEAD.
    """
    text = body.decode("utf-8", "replace").strip()
    code = "" if _is_page(content_type, text) else _code(text)
    return ApiFailure(kind=_kind(status, code, text.lower()), code=code[:LONGEST_CODE], status=status)


def _is_page(content_type: str, text: str) -> bool:
    # A proxy's, even if it quotes the answer of an API. Salesforce's own one-word answers come as text/html too.
    return "html" in content_type.lower() and text.startswith("<")


def _kind(status: int, code: str, text: str) -> Kind:
    if any(phrase in text for phrase in _INCURABLE):
        return "not_refreshable"
    if code in _EXPIRED_CODES:
        return "expired"
    if code in _LIMIT_CODES or status == 429:
        return "limit"
    if status == 401 and not text:
        return "expired"  # the answer to HEAD has no body
    return "forbidden" if status == 403 else "other"


def _code(text: str) -> str:
    if text.startswith(("{", "[")):
        return _json_code(text)
    if match := _XML_CODE.search(text):
        return match[1]
    return text if _PLAIN_CODE.fullmatch(text) else ""


def _json_code(text: str) -> str:
    found = _first(_parse(text))
    # REST says errorCode, Bulk 1.0 exceptionCode.
    code = found.get("errorCode") or found.get("exceptionCode")
    return code if isinstance(code, str) and _PLAIN_CODE.fullmatch(code) else ""


def _first(parsed: Any) -> dict[str, Any]:
    first = parsed[0] if isinstance(parsed, list) and parsed else parsed
    return first if isinstance(first, dict) else {}


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
