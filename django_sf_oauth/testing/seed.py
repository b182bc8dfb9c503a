"""A livelier world for a demo: colleagues, a sandbox, another company."""

from __future__ import annotations

from .fake import FakeSalesforce


def seed_demo(fake: FakeSalesforce) -> None:
    """Adds a colleague in the first org, its sandbox with a copy of the first user, and a second org."""
    fake.add_user("jules.tan@acme-outdoor.example", name="Jules Tan")
    sandbox = fake.add_org(
        "Acme Outdoor (UAT)", my_domain="acme-outdoor--uat.sandbox.my.salesforce.com", is_sandbox=True
    )
    fake.add_user("avery.morgan@acme-outdoor.example.uat", name="Avery Morgan", org=sandbox)
    bluefin = fake.add_org("Bluefin Analytics", my_domain="bluefin-analytics.my.salesforce.com")
    fake.add_user("sam.okafor@bluefin.example", name="Sam Okafor", org=bluefin)
