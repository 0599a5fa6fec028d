"""Bounded queues between the parties of a stream. What is dropped from one leaves a marker in its place."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

ItemT = TypeVar("ItemT")


@dataclass(slots=True)
class _Place(Generic[ItemT]):
    item: ItemT
    counts: bool


class BoundedQueue(Generic[ItemT]):
    """At most `depth` items; whoever puts one more waits, or drops the oldest that may be dropped. For one event loop.

    `dropped` says what stands in the place of an item that is dropped, or None for one that may not be. Such markers
    do not count as items, for they hold nothing; but of them, too, there are at most `markers`. The length is that of
    items alone, and may be read from any thread.
    """

    def __init__(
        self, depth: int, dropped: Callable[[ItemT], ItemT | None] = lambda _: None, *, markers: int = 1024
    ) -> None:
        self._depth = depth
        self._most = depth + markers
        self._dropped = dropped
        self._counted = 0
        self._places: deque[_Place[ItemT]] = deque()
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return self._counted

    @property
    def empty(self) -> bool:
        """Return whether there is nothing to get, neither item nor marker."""
        return not self._places

    async def put(self, item: ItemT) -> None:
        """Append an item once the queue has space; a queue that may drop has it at once."""
        while len(self) >= self._depth and not self._drop_oldest():
            await self._wait()
        self._append(item, counts=True)

    async def put_marker(self, item: ItemT) -> None:
        """Append what does not count as an item, as soon as there are not too many of its kind."""
        while len(self._places) >= self._most:
            await self._wait()
        self._append(item, counts=False)

    def append(self, item: ItemT) -> None:
        """Append an item even to a full queue: an error, the end, or a frame that is counted elsewhere."""
        self._append(item, counts=False)

    async def get(self) -> ItemT:
        """Take the oldest item or marker, as soon as there is one."""
        while not self._places:
            await self._wait()
        self._changed.set()
        place = self._places.popleft()
        self._counted -= place.counts
        return place.item

    def clear(self) -> list[ItemT]:
        left = [place.item for place in self._places]
        self._places.clear()
        self._counted = 0
        self._changed.set()
        return left

    def _append(self, item: ItemT, *, counts: bool) -> None:
        self._places.append(_Place(item, counts))
        self._counted += counts
        self._changed.set()

    def _drop_oldest(self) -> bool:
        for place in self._places if len(self._places) < self._most else ():
            marker = self._dropped(place.item) if place.counts else None
            if marker is not None:
                place.item, place.counts = marker, False
                self._counted -= 1
                return True
        return False

    async def _wait(self) -> None:
        # A putter waits only where the queue is full and a getter only where it is empty: one event serves both.
        self._changed.clear()
        await self._changed.wait()
