"""Ending grants: what an operator gives up, and what Salesforce has still to be told to forget."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from django.db import router, transaction
from django.utils import timezone

from django_sf_oauth.models import PendingRevocation, SalesforceConnection
from django_sf_oauth.models.disconnect import is_in_transaction
from django_sf_oauth.models.mass_disconnect import give_up_in_time, give_up_those_free
from django_sf_oauth.models.queryset import SalesforceConnectionQuerySet

from .outbox import CLAIMED_FOR, Outbox, Rows, log_failure

__all__ = ["give_up", "revoke_connections", "revoke_pending", "waiting_for"]

logger = logging.getLogger("django_sf_oauth.revoking")

LIMIT = 10_000  # revocations per run; the budget ends it earlier
BUDGET = 240.0  # seconds
BATCH = 250  # connections given up in one commit

Progress = Callable[[int], None]


def revoke_connections(
    rows: SalesforceConnectionQuerySet,
    *,
    actor: Any = None,
    budget: float = BUDGET,
    monotonic: Callable[[], float] = time.monotonic,
    given_up: Progress = lambda number: None,
    settled: Progress = lambda number: None,
) -> Counter[str]:
    """Disconnects many connections: all of them here first, then at Salesforce. One that fails stops no other.

    It can be killed and begun again: it goes on with what is left.

    Args:
        rows: which; they are asked for again and again, so that nothing may be sliced off.
        actor: the user of this site who asked for it, for the audit trail.
        budget: seconds after which Salesforce is not asked for a further one.
        monotonic: a clock in seconds.
        given_up, settled: are told how many more are unusable here, and how many more Salesforce has forgotten.

    Returns:
        How many ended how: ``revoked`` (Salesforce confirmed it), ``pending`` (unusable here, and
        `revoke_pending` goes on asking Salesforce), ``gone`` (there was no token that can be read) and
        ``failed`` (logged by the type of its error).
    """
    deadline = monotonic() + budget
    counts = give_up(rows, actor=actor, progress=given_up)
    waiting = waiting_for(rows)
    outbox = Outbox(monotonic=monotonic, settled=settled)
    if is_in_transaction():  # which may still bring the tokens back
        transaction.on_commit(
            lambda: outbox.empty(_insisting(waiting), deadline=deadline),
            using=router.db_for_write(PendingRevocation),
            robust=True,
        )
    else:
        counts += outbox.empty(_insisting(waiting), deadline=deadline)
    return _with_all_that_waits(counts, waiting.count())


def give_up(
    rows: SalesforceConnectionQuerySet, *, actor: Any = None, progress: Progress = lambda number: None
) -> Counter[str]:
    """The local half: when it returns, nothing here can use them. Returns how many are ``gone`` and ``failed``."""
    counts: Counter[str] = Counter()
    connected = rows.using(router.db_for_write(SalesforceConnection)).connected().order_by("pk")
    failed: set[int] = set()
    # Anew until there is none: somebody may connect while this goes on.
    while ids := [pk for pk in connected.values_list("pk", flat=True) if pk not in failed]:
        stuck = _give_up_those_free(ids, actor, counts, progress)
        failed |= _give_up_stuck(stuck, actor, counts, progress)
    logger.warning(
        "event=given_up noted=%d gone=%d failed=%d", *(counts[end] for end in ("noted", "gone", "failed"))
    )
    del counts["noted"]
    return +counts


def _give_up_those_free(ids: Sequence[int], actor: Any, counts: Counter[str], progress: Progress) -> list[int]:
    """Returns those that are left, since they are locked or stand beside one that cannot be given up."""
    stuck: list[int] = []
    for start in range(0, len(ids), BATCH):
        left, gone = _give_up_batch(ids[start : start + BATCH], actor)
        ended = min(BATCH, len(ids) - start) - len(left)
        counts.update(gone=gone, noted=ended - gone)
        progress(ended)
        stuck += left
    return stuck


def _give_up_batch(ids: Sequence[int], actor: Any) -> tuple[list[int], int]:
    try:
        return give_up_those_free(ids, actor=actor)
    except Exception:
        return list(ids), 0  # one by one: who is to blame is found out then


def _give_up_stuck(ids: Sequence[int], actor: Any, counts: Counter[str], progress: Progress) -> set[int]:
    """They come last, since each may be waited for. Returns those that failed."""
    endings = {}
    for pk in ids:
        endings[pk] = _give_up_one(pk, actor)
        progress(1)
    counts.update(endings.values())
    return {pk for pk, ending in endings.items() if ending == "failed"}


def _give_up_one(pk: int, actor: Any) -> str:
    rows = SalesforceConnection.objects.using(router.db_for_write(SalesforceConnection))
    connection = rows.connected().filter(pk=pk).first()
    if connection is None:
        return "gone"
    try:
        return "noted" if give_up_in_time(connection, actor=actor) else "gone"
    except Exception as error:
        log_failure(connection.uuid, error)
        return "failed"


def waiting_for(rows: SalesforceConnectionQuerySet) -> Rows:
    """What Salesforce has still to be told of these connections, late answers to a refresh among it."""
    pending = PendingRevocation.objects.using(router.db_for_write(PendingRevocation))
    return pending.filter(connection_uuid__in=rows.order_by().values("uuid"))


def revoke_pending(
    *,
    limit: int = LIMIT,
    budget: float = BUDGET,
    everything: bool = False,
    monotonic: Callable[[], float] = time.monotonic,
    settled: Progress = lambda number: None,
) -> Counter[str]:
    """Asks Salesforce to forget the grants whose revocation is due.

    Args:
        limit: how many at most.
        budget: seconds after which no further one is asked for.
        everything: an operator asks for all that wait, due or not; `limit` does not matter then.
        monotonic: a clock in seconds.
        settled: is told how many more Salesforce has forgotten.

    Returns:
        How many ended how: ``revoked``, ``pending`` (asked for again later) and ``failed``.
    """
    deadline = monotonic() + budget
    outbox = Outbox(monotonic=monotonic, settled=settled)
    waiting = PendingRevocation.objects.all()
    if everything:
        counts = outbox.empty(_insisting(waiting), deadline=deadline)
        return _with_all_that_waits(counts, waiting.count())
    return outbox.empty(waiting.filter(next_attempt_at__lte=timezone.now()), limit=limit, deadline=deadline)


def _insisting(waiting: Rows) -> Rows:
    """Due or not; but for those that another run claims from now on, which that one will see to.

    Claims of before are not respected: their run may have been killed.
    """
    return waiting.exclude(attempts=0, next_attempt_at__gt=timezone.now() + CLAIMED_FOR)


def _with_all_that_waits(counts: Counter[str], waiting: int) -> Counter[str]:
    """Also those that were not asked for, or have come meanwhile."""
    return +Counter({**counts, "pending": max(0, waiting - counts["failed"])})
