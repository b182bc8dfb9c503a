"""An admin that also has the users: deleting one names their connections."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.urls import path

from django_sf_oauth.admin import ConnectionEventAdmin, HoldAdmin, SalesforceConnectionAdmin
from django_sf_oauth.models import ConnectionEvent, Hold, SalesforceConnection

site = admin.AdminSite()
site.register(SalesforceConnection, SalesforceConnectionAdmin)
site.register(ConnectionEvent, ConnectionEventAdmin)
site.register(Hold, HoldAdmin)
site.register(get_user_model())

urlpatterns = [path("admin/", site.urls)]
