from __future__ import annotations

from typing import Any, ClassVar

from django.conf import settings
from django.db import models


class OAuth2Token(models.Model):
    """The fields that Authlib's documentation of its Django client gives such a table."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    name = models.CharField(max_length=40)
    token_type = models.CharField(max_length=40)
    access_token = models.TextField()
    refresh_token = models.TextField()
    expires_at = models.PositiveIntegerField(null=True)

    objects: ClassVar[models.Manager[OAuth2Token]] = models.Manager()

    def __str__(self) -> str:
        return self.name

    def to_token(self) -> dict[str, Any]:
        return {
            "access_token": self.access_token,
            "token_type": self.token_type,
            "refresh_token": self.refresh_token,
            "expires_at": self.expires_at,
        }

    def take(self, token: dict[str, Any]) -> None:
        """Keeps what a refresh brought."""
        self.access_token = token["access_token"]
        self.refresh_token = token.get("refresh_token") or self.refresh_token
        self.expires_at = token.get("expires_at")
        self.save()


def keep(user: Any, tokens: dict[str, str]) -> int:
    """Stores what the callback brought; returns the user's key."""
    OAuth2Token.objects.create(
        user=user,
        name="salesforce",
        token_type=tokens["token_type"],
        access_token=tokens["access_token"],
        refresh_token=tokens["refresh_token"],
    )
    return int(user.pk)
