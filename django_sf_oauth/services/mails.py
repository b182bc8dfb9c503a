"""The mails as they are sent: subject, text and HTML from templates, in the site's language.

Templates get values, never a connection: whoever overrides one cannot print a token by mistake.
"""

from __future__ import annotations

import email.policy
from collections.abc import Mapping, Sequence
from typing import Any

import django
from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string
from django.utils import translation

from django_sf_oauth.conf import AppSettings
from django_sf_oauth.models import SalesforceConnection

from .advice import advise, title_of
from .mail_links import connection_url, unsubscribe_url

__all__ = ["address_of", "operator_mail", "operators", "reconnect_mail"]

BY_A_MACHINE = {"Auto-Submitted": "auto-generated"}  # RFC 3834: no "I am on holiday" comes back
STAFF = ("MANAGERS", "ADMINS")
LONGEST_LINE = 900  # characters; RFC 5322 allows 998


class Mail(EmailMultiAlternatives):
    """A mail whose headers stay whole: Python would break a long link up into encoded words (RFC 2047)."""

    def message(self, **kwargs: Any) -> Any:
        if django.VERSION < (6, 0):
            return super().message()  # made by another part of Python, which leaves long words alone
        policy = kwargs.get("policy", email.policy.default)
        return super().message(policy=policy.clone(max_line_length=LONGEST_LINE))


def address_of(user: Any) -> str:
    """The user's mail address, or nothing."""
    return str(getattr(user, getattr(user, "EMAIL_FIELD", "email"), "") or "")


def operators(recipients: Sequence[str]) -> list[str]:
    """The addresses of `DIGEST` or `ALERTS`: those written there, and for ``MANAGERS`` or ``ADMINS`` Django's."""
    found = [address for one in recipients for address in (_staff(one) if one in STAFF else [one])]
    return list(dict.fromkeys(found))


def _staff(setting: str) -> list[str]:
    # Pairs of name and address until Django 6.0.
    return [one if isinstance(one, str) else one[1] for one in getattr(settings, setting)]


def reconnect_mail(connection: SalesforceConnection, app: AppSettings) -> EmailMultiAlternatives:
    """Tells the user that a connection needs them, with the one link to press."""
    user = connection.user
    stop = unsubscribe_url(app, user)
    context = {
        "user": user,
        "title": title_of(connection),
        "username": connection.username,
        "is_sandbox": connection.is_sandbox,
        "advice": advise(connection),
        "url": connection_url(app, connection),
        "unsubscribe_url": stop,
        "site_url": app.site_url,
    }
    # RFC 8058: one press in the mail program, without a page.
    headers = {"List-Unsubscribe": f"<{stop}>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}
    return _mail("reconnect", context, [address_of(user)], None, headers)


def operator_mail(name: str, context: Mapping[str, Any], recipients: Sequence[str]) -> EmailMultiAlternatives:
    """A mail to those who run the site, from Django's ``SERVER_EMAIL``."""
    return _mail(name, context, operators(recipients), settings.SERVER_EMAIL, {})


def _mail(
    name: str, context: Mapping[str, Any], to: list[str], sender: str | None, headers: Mapping[str, str]
) -> EmailMultiAlternatives:
    with translation.override(settings.LANGUAGE_CODE):
        subject, text, html = (
            render_to_string(f"sf_oauth/mail/{name}{part}", dict(context))
            for part in ("_subject.txt", ".txt", ".html")
        )
    # The name of an organization may hold a line break, which would begin another header.
    mail = Mail(" ".join(subject.split()), text.strip() + "\n", sender, to, headers={**BY_A_MACHINE, **headers})
    mail.attach_alternative(html, "text/html")
    return mail
