"""How much waits on the broker, so that a sweep stops at what the workers can take."""

from __future__ import annotations

from typing import Any

from celery import Task

__all__ = ["room"]

AnyTask = Task[..., Any]


def room(receiver: AnyTask, *, sender: AnyTask, most: int) -> int:
    """How many messages for the receiver may be sent now, so that `most` of them wait at most.

    One at least if the sender came through the same queue. Other tasks' messages are counted there as well, and
    would shut it out for ever where that queue is never short; and that the sender runs shows that it moves.

    Returns:
        `most` where the broker cannot tell.
    """
    try:
        queue = _queue(receiver)
        return max(int(queue == _queue(sender)), most - _waiting(receiver, queue))
    except Exception:
        # No such queue yet, a transport that cannot count, a broker that is away: sending will tell.
        return most


def _queue(task: AnyTask) -> str:
    name: str = task.app.amqp.router.route({}, task.name)["queue"].name
    return name


def _waiting(task: AnyTask, queue: str) -> int:
    # A connection and a channel of its own: RabbitMQ closes a channel that asks for a queue that is not there.
    with task.app.connection_for_write() as connection, connection.channel() as channel:
        found: int = channel.queue_declare(queue, passive=True).message_count  # type: ignore[attr-defined]
    return found
