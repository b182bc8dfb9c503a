"""Filters and searches that stay quick on a million rows."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.db.models import CharField, Q, QuerySet, TextField
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from django_sf_oauth.conf import get_apps

__all__ = ["AppFilter", "search_condition"]

MOST_USERS = 200  # whose names begin alike: a longer text finds fewer


class AppFilter(admin.SimpleListFilter):
    """By connected app, as the settings list them: the rows are not searched for their distinct values."""

    title = _("connected app")
    parameter_name = "app"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(alias, alias) for alias in get_apps()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(app=self.value()) if self.value() else queryset


def search_condition(text: str) -> Q:
    """Connections whose Salesforce username or organization id begins with it, or whose user here does.

    The users are looked up first: a join would keep the database from using an index of theirs.
    """
    condition = Q(username__istartswith=text) | Q(organization_id__startswith=text)
    users = _users_called(text)
    return condition | Q(user__in=users) if users else condition


def _users_called(text: str) -> list[Any]:
    condition = Q()
    for name in _name_fields():
        condition |= Q(**{f"{name}__istartswith": text})
    if not condition:
        return []
    return list(get_user_model()._default_manager.filter(condition).values_list("pk", flat=True)[:MOST_USERS])


def _name_fields() -> set[str]:
    """The text fields by which this site's users are known, whatever its user model calls them."""
    model = get_user_model()
    texts = {field.name for field in model._meta.concrete_fields if isinstance(field, CharField | TextField)}
    return texts & {model.USERNAME_FIELD, model.get_email_field_name()}
