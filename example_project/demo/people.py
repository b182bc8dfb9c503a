"""Who can sign in to the demo."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from django.contrib.auth import get_user_model

from example_project.keys import kept_key


@dataclass(frozen=True, kw_only=True, slots=True)
class Person:
    username: str
    password: str = field(repr=False)
    is_admin: bool = False


def known_people() -> list[Person]:
    """For the fake, behind which there is nothing to protect: passwords that are easy to type."""
    return [
        Person(username="lena", password="lena-demo"),  # noqa: S106  # see above
        Person(username="admin", password="admin-demo", is_admin=True),  # noqa: S106  # see above
    ]


def private_people(keys: Path) -> list[Person]:
    """For the real Salesforce: passwords that only this machine's user can read."""
    return [
        Person(
            username=person.username,
            password=kept_key(keys / f"{person.username}.password")[:12],
            is_admin=person.is_admin,
        )
        for person in known_people()
    ]


def seed(people: list[Person]) -> None:
    """Sees to it that each can sign in."""
    for person in people:
        user, _ = get_user_model()._default_manager.get_or_create(
            username=person.username,
            defaults={
                "email": f"{person.username}@example.com",
                "is_staff": person.is_admin,
                "is_superuser": person.is_admin,
            },
        )
        if not user.check_password(person.password):  # else it is left: a new hash would end their sessions
            user.set_password(person.password)
            user.save()
