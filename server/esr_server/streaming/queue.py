"""Bounded queues on both sides of a stream's stages. An item that is dropped from one leaves a marker in its place."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

ItemT = TypeVar("ItemT")


@dataclass(slots=True)
class _Entry(Generic[ItemT]):
    item: ItemT
    counts: bool


class DroppingQueue(Generic[ItemT]):
    """At most `depth` items; one more waits, or drops the oldest that may be dropped. For one event loop.

    `marker_of` gives what takes the place of an item that is dropped, or None for one that must stay. Markers hold no
    picture and do not count as items; there are at most `markers` of them. The length is that of items alone, and may
    be read from any thread.
    """

    def __init__(
        self, depth: int, marker_of: Callable[[ItemT], ItemT | None] = lambda _: None, *, markers: int = 1024
    ) -> None:
        self._depth = depth
        self._most_entries = depth + markers
        self._marker_of = marker_of
        self._items = 0
        self._entries: deque[_Entry[ItemT]] = deque()
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return self._items

    @property
    def is_empty(self) -> bool:
        """Return whether there is nothing to get, neither item nor marker."""
        return not self._entries

    def has_space(self, reserved: int = 0) -> bool:
        """Return whether one more item has a place when `reserved` others have come, dropping one if need be."""
        if len(self._entries) >= self._most_entries:
            return False
        return self._items + reserved < self._depth or self._oldest_to_drop() is not None

    async def put(self, item: ItemT) -> None:
        """Append an item once there is space for it."""
        await self.wait_until(self.has_space)
        self.append(item)

    async def put_marker(self, item: ItemT) -> None:
        """Append what holds no picture, once there are not too many of its kind."""
        await self.wait_until(lambda: len(self._entries) < self._most_entries)
        self.append(item, counts=False)

    def append(self, item: ItemT, *, counts: bool = True) -> None:
        """Append an item at once; where there are `depth` already, the oldest that may be dropped is."""
        if counts and self._items >= self._depth and (dropped := self._oldest_to_drop()) is not None:
            entry, marker = dropped
            entry.item, entry.counts = marker, False
            self._items -= 1
        self._entries.append(_Entry(item, counts))
        self._items += counts
        self._changed.set()

    async def get(self) -> ItemT:
        """Take the oldest item or marker, as soon as there is one."""
        await self.wait_until(lambda: bool(self._entries))
        self._changed.set()
        entry = self._entries.popleft()
        self._items -= entry.counts
        return entry.item

    def clear(self) -> list[ItemT]:
        """Take everything out, and return it in order."""
        left = [entry.item for entry in self._entries]
        self._entries.clear()
        self._items = 0
        self._changed.set()
        return left

    def notify(self) -> None:
        """Have everyone who waits look again."""
        self._changed.set()

    async def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition that changes when something is put in or taken out, or before `notify`."""
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    def _oldest_to_drop(self) -> tuple[_Entry[ItemT], ItemT] | None:
        for entry in self._entries:
            if entry.counts and (marker := self._marker_of(entry.item)) is not None:
                return entry, marker
        return None
