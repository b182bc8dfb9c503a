"""The pages of the site: a start page, and the accounts of the user's own Salesforce org."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from requests import RequestException

from django_sf_oauth.decorators import salesforce_required
from django_sf_oauth.exceptions import TemporarilyUnavailable
from django_sf_oauth.models import SalesforceConnection

QUERY = "SELECT Id, Name, Industry, BillingCity, BillingCountry, Phone FROM Account ORDER BY Name LIMIT 50"


def home(request: HttpRequest) -> HttpResponse:
    connections: list[SalesforceConnection] = []
    if request.user.is_authenticated:
        connections = list(SalesforceConnection.objects.for_user(request.user).connected())
    return render(request, "crm/home.html", {"connections": connections})


@salesforce_required(scopes=["api"])
def accounts(request: HttpRequest) -> HttpResponse:
    client = request.salesforce  # type: ignore[attr-defined]  # the middleware's
    generation = client.connection.generation
    try:
        response = client.get("query", params={"q": QUERY})
    except (TemporarilyUnavailable, RequestException):
        return _unavailable(request)
    if response.status_code >= 500:
        return _unavailable(request)
    response.raise_for_status()
    connection = SalesforceConnection.objects.get(pk=client.connection.pk)
    context = {
        "accounts": response.json()["records"],
        "connection": connection,
        "renewed_just_now": connection.generation > generation,
    }
    return render(request, "crm/accounts.html", context)


def _unavailable(request: HttpRequest) -> HttpResponse:
    return render(request, "crm/unavailable.html", status=503)
