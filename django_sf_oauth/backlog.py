"""How much waits on the broker, so that a sweep stops at what the workers can take."""

from __future__ import annotations

from typing import Any

from celery import Task
from kombu import Queue

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
        return max(int(queue.name == _queue(sender).name), most - _waiting(receiver, queue))
    except Exception:
        # A transport that cannot count, a broker that is away, a router that names no queue: sending will tell.
        return most


def _queue(task: AnyTask) -> Queue:
    queue: Queue = task.app.amqp.router.route({}, task.name)["queue"]
    return queue


def _waiting(task: AnyTask, queue: Queue) -> int:
    with task.app.connection_for_write() as connection, connection.channel() as channel:
        # As for sending: asked passively, kombu finds no queue of a Redis with a `global_keyprefix`.
        declared: Any = queue.bind(channel).queue_declare()
        count: int = declared.message_count
    return count
