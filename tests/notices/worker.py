"""One worker process of a site: for each line that it reads it sends what is due, and prints who got a mail.

What it is told at first, see `tests.races.worker`.
"""

from __future__ import annotations

import json
import sys

from tests.races.saying import say
from tests.races.worker import set_up

__all__ = ["main"]


def main() -> None:
    set_up(json.loads(sys.stdin.readline()))
    from django.core import mail
    from django.test.utils import setup_test_environment

    from django_sf_oauth.services.digest import send_digests
    from django_sf_oauth.services.notices import send_notices

    setup_test_environment()  # mails stay in mail.outbox
    say("ready")
    for _ in sys.stdin:
        send_digests()
        send_notices()
        say(json.dumps([address for message in mail.outbox for address in message.to]))


if __name__ == "__main__":
    main()
