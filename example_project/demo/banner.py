"""What the demo says once it runs."""

from __future__ import annotations

from django_sf_oauth.testing import FakeSalesforce

from .people import Person


def fake_banner(*, site: str, panel: str, people: list[Person], forgotten: int, mails: str) -> str:
    """What to open and to try.

    Args:
        forgotten: how many connections an earlier run has left, which a new fake knows nothing of.
        mails: the folder that mails are written to.
    """
    made_up = FakeSalesforce().user
    rows = [
        *_doors(site, people),
        ("Salesforce", "the login page of the fake", f"{made_up.username} / {made_up.password}"),
        ("Control panel", panel, "expire, revoke, block, …"),
    ]
    steps = [
        f"1. Open {site}/ and sign in.",
        "2. Press “Connect Salesforce”, log in at the fake, allow the access.",
        "3. End the access tokens in the control panel, reload the accounts: nobody notices.",
        "4. Revoke the approval there, reload: the page asks to reconnect.",
        f"5. Two minutes later the user is told by mail: {mails}/.",
    ]
    if forgotten:
        steps.append("The fake starts empty: earlier connections need a “Reconnect”, or start with --reset.")
    return _compose("The demo runs. Salesforce is a fake on this machine; nothing leaves it.", rows, steps)


def real_banner(*, site: str, people: list[Person], callback: str) -> str:
    steps = [
        f"Your app in Salesforce must know this callback URL: {callback}",
        f"Then open {site}/, sign in and press “Connect Salesforce”.",
    ]
    return _compose("The demo runs, with the real Salesforce.", _doors(site, people), steps)


def _doors(site: str, people: list[Person]) -> list[tuple[str, str, str]]:
    user, admin = people
    return [
        ("Site", f"{site}/", f"{user.username} / {user.password}"),
        ("Admin", f"{site}/admin/", f"{admin.username} / {admin.password}"),
    ]


def _compose(title: str, rows: list[tuple[str, str, str]], steps: list[str]) -> str:
    wide, wider = (max(len(row[column]) for row in rows) for column in (0, 1))
    table = [f"  {name:<{wide}}   {where:<{wider}}   {how}" for name, where, how in rows]
    return "\n".join(["", title, "", *table, "", *(f"  {step}" for step in steps), ""])
