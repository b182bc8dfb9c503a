"""``path("salesforce/", include("django_sf_oauth.urls"))``."""

from __future__ import annotations

from django.urls import path

from . import views

app_name = "sf_oauth"

urlpatterns = [
    path("", views.connections, name="connections"),
    path("connect/", views.connect, name="connect"),
    path("callback/", views.callback, name="callback"),
    path("mails/", views.mails, name="mails"),
    path("unsubscribe/<str:token>/", views.unsubscribe, name="unsubscribe"),
    path("<uuid:uuid>/reconnect/", views.reconnect, name="reconnect"),
    path("<uuid:uuid>/disconnect/", views.disconnect, name="disconnect"),
    path("<uuid:uuid>/make-default/", views.make_default, name="make_default"),
]
