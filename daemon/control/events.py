"""Changes, told to whoever listens, without ever waiting for a listener."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from daemon.control.schema import Event

QUEUE_EVENTS_MAX = 256
SUBSCRIBERS_MAX = 64


class TooManySubscribers(Exception):  # noqa: N818 - it is what happened
    """No further client can listen until one of them leaves."""


class Subscription:
    """One listener's queue.  When it overflows the listener is dropped: its last event says so."""

    def __init__(self, events_max: int) -> None:
        self._queue: asyncio.Queue[Event | None] = asyncio.Queue(events_max + 2)
        self._events_max = events_max
        self.dropped = False

    def offer(self, event: Event) -> None:
        if self.dropped:
            return
        if self._queue.qsize() >= self._events_max:
            self.dropped = True
            note = {
                "reason": f"more than {self._events_max} events were waiting; ask for the status and listen again"
            }
            self._queue.put_nowait(Event("dropped", event.index, note))
            self._queue.put_nowait(None)
            return
        self._queue.put_nowait(event)

    async def next(self) -> Event | None:
        """The next event in order; None when this listener was dropped, or the hub has closed."""
        return await self._queue.get()

    def close(self) -> None:
        if not self.dropped:
            self.dropped = True
            self._queue.put_nowait(None)


class EventHub:
    """The daemon publishes, clients of /v1/events subscribe."""

    def __init__(self, queue_events_max: int = QUEUE_EVENTS_MAX, subscribers_max: int = SUBSCRIBERS_MAX) -> None:
        self._queue_events_max = queue_events_max
        self._subscribers_max = subscribers_max
        self._subscriptions: set[Subscription] = set()

    @property
    def listeners(self) -> int:
        return len(self._subscriptions)

    def publish(self, event: Event) -> None:
        """Tell everyone.  Returns at once, whatever the listeners do."""
        for subscription in tuple(self._subscriptions):
            subscription.offer(event)

    @contextmanager
    def subscribe(self) -> Iterator[Subscription]:
        """Raises TooManySubscribers."""
        if len(self._subscriptions) >= self._subscribers_max:
            raise TooManySubscribers(f"{self._subscribers_max} clients listen already")
        subscription = Subscription(self._queue_events_max)
        self._subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)

    def close(self) -> None:
        """Let every listener go: the server stops."""
        for subscription in tuple(self._subscriptions):
            subscription.close()
