"""As much of the REST API as it takes to see a token work: versions, limits, queries, one record more."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from .http import Request, Response, respond_json
from .records import Org
from .soql import MalformedQuery, select
from .world import World

VERSIONS = ("64.0", "65.0", "66.0")
VERSIONED = re.compile(r"/services/data/v(?P<version>\d{2}\.\d)(?P<resource>/.*)?")
DAILY_REQUESTS = 15_000
API_SCOPES = {"api", "full"}

EXPIRED = ("INVALID_SESSION_ID", "Session expired or invalid")
# A refresh does not cure this one: the token is alive, but was not granted the API.
NOT_FOR_REST = ("INVALID_SESSION_ID", "This session is not valid for use with the REST API")
NOT_FOUND = ("NOT_FOUND", "The requested resource does not exist")


def refuse(status: int, said: tuple[str, str]) -> Response:
    """The REST API answers its errors as a list."""
    code, message = said
    response = respond_json([{"message": message, "errorCode": code}], status=status)
    return replace(response, error=code, detail=message)


class RestApi:
    """The data API of every org, each behind its own instance."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.requests_used = 0
        self._resources: Mapping[tuple[str, str], Callable[[Request, Org], Response]] = {
            ("GET", ""): self._directory,
            ("GET", "/query"): self._query,
            ("GET", "/limits"): self._limits,
            ("POST", "/sobjects/Account"): self._create_account,
        }

    def handle(self, request: Request) -> Response:
        if request.path == "/services/data":
            return respond_json(_versions())
        match = VERSIONED.fullmatch(request.path)
        resource = self._resources.get((request.method, (match["resource"] or "") if match else "?"))
        token = self.world.live_access_token(request.bearer)
        if token is None or not self.world.is_instance(request.host, token.approval.user.org):
            return refuse(401, EXPIRED)
        if not API_SCOPES & set(token.approval.scopes):
            return refuse(401, NOT_FOR_REST)
        token.touch(self.world.now())
        answer = resource(request, token.approval.user.org) if resource else refuse(404, NOT_FOUND)
        return self._counted(answer)

    def _counted(self, answer: Response) -> Response:
        with self.world.lock:
            self.requests_used += 1
            usage = f"api-usage={self.requests_used}/{DAILY_REQUESTS}"
        return replace(answer, headers={**answer.headers, "Sforce-Limit-Info": usage})

    def _directory(self, request: Request, org: Org) -> Response:
        return respond_json({name: f"{request.path}/{name}" for name in ("query", "limits", "sobjects")})

    def _limits(self, request: Request, org: Org) -> Response:
        remaining = DAILY_REQUESTS - self.requests_used
        return respond_json({"DailyApiRequests": {"Max": DAILY_REQUESTS, "Remaining": remaining}})

    def _query(self, request: Request, org: Org) -> Response:
        try:
            kind, rows = select(request.query.get("q", ""), {"Account": org.accounts, "Organization": [_row(org)]})
        except MalformedQuery as error:
            return refuse(400, ("MALFORMED_QUERY", str(error)))
        base = request.path.removesuffix("/query")
        records = [{"attributes": _attributes(base, kind, row), **row} for row in rows]
        return respond_json({"totalSize": len(records), "done": True, "records": records})

    def _create_account(self, request: Request, org: Org) -> Response:
        try:
            values = json.loads(request.body)
            account = {str(name): value for name, value in values.items()}
        except (ValueError, AttributeError):
            return refuse(400, ("JSON_PARSER_ERROR", "The body is not a JSON object"))
        account["Id"] = self.world.new_account_id()
        with self.world.lock:
            org.accounts.append(account)
        return respond_json({"id": account["Id"], "success": True, "errors": []}, status=201)


def _versions() -> list[dict[str, str]]:
    return [{"label": f"API {v}", "url": f"/services/data/v{v}", "version": v} for v in VERSIONS]


def _row(org: Org) -> dict[str, Any]:
    return {"Id": org.id, "Name": org.name, "IsSandbox": org.is_sandbox, "InstanceName": org.instance_name}


def _attributes(base: str, kind: str, row: Mapping[str, Any]) -> dict[str, str]:
    return {"type": kind, "url": f"{base}/sobjects/{kind}/{row.get('Id', '')}".rstrip("/")}
