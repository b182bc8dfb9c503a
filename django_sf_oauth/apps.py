"""Installs the package into a Django site."""

from __future__ import annotations

from importlib import import_module

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _

__all__ = ["SalesforceOAuthConfig"]


class SalesforceOAuthConfig(AppConfig):
    name = "django_sf_oauth"
    verbose_name = _("Salesforce")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Registers the checks, the receivers of the models, and the filter that keeps tokens out of logs."""
        from .logs import hide_secrets_in_logs

        import_module("django_sf_oauth.checks")
        import_module("django_sf_oauth.key_checks")
        import_module("django_sf_oauth.deploy_checks")
        import_module("django_sf_oauth.models.receivers")
        hide_secrets_in_logs()
