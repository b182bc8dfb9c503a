"""django-esi, made for EVE Online and pointed at Salesforce's token endpoint by its own settings.

``Token.valid_access_token()``, as its docstring shows, and a view with ``@tokens_required``, as "Usage in views"
says.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from .worker import join, set_up, work

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

site = join()
set_up(
    site,
    apps=("django.contrib.sessions", "esi"),
    ROOT_URLCONF="esi.urls",
    SESSION_ENGINE="django.contrib.sessions.backends.cache",  # away from the database, which is not what is tested
    ESI_SSO_CLIENT_ID=site.client_id,
    ESI_SSO_CLIENT_SECRET=site.client_secret,
    ESI_SSO_CALLBACK_URL="http://testserver/sso/callback",
    ESI_CODE_EXCHANGE_URL=site.token_url,
    ESI_USER_CONTACT_EMAIL="benchmark@example.com",
)

import requests
from django.contrib.auth import get_user_model
from django.contrib.sessions.backends.cache import SessionStore
from django.core.cache import cache
from django.http import HttpResponse as Answer
from django.test import RequestFactory
from django.utils import timezone
from esi.app_settings import ESI_TOKEN_VALID_DURATION
from esi.decorators import tokens_required
from esi.models import Token
from esi.sso import JWKS_CACHE_KEY

# The keys that EVE signs its tokens with, as they are cached in a site that runs; none of them is for ours, which
# it then takes as they are.
cache.set(JWKS_CACHE_KEY, {"keys": []}, timeout=None)


def store(user: Any, tokens: dict[str, str]) -> int:
    Token.objects.create(
        user=user,
        character_id=user.pk,
        character_name=user.username,
        access_token=tokens["access_token"],
        refresh_token=tokens["refresh_token"],
    )
    return int(user.pk)


def age(key: int) -> None:
    too_old = timezone.now() - timedelta(seconds=ESI_TOKEN_VALID_DURATION + 1)
    Token.objects.filter(user=key).update(created=too_old)


def ask(access_token: str) -> int:
    headers = {"Authorization": f"Bearer {access_token}"}
    return requests.get(site.limits_url, headers=headers, timeout=30).status_code


def call(key: int) -> int:
    return ask(Token.objects.get(user=key).valid_access_token())


@tokens_required()  # type: ignore[untyped-decorator]  # not installed where types are checked
def view(request: HttpRequest, tokens: Any) -> HttpResponse:
    return Answer(status=ask(tokens.first().valid_access_token()))


def visit(key: int) -> int:
    users: Any = get_user_model().objects
    request = RequestFactory().get("/")
    request.user, request.session = users.get(pk=key), SessionStore()
    return int(view(request).status_code)


work(site, store=store, age=age, calls={"valid_access_token()": call, "@tokens_required": visit})
