"""How much of the machine is promised to whom, and which model each stream can afford.

A stream that declares its rate asks for fps × cost of the machine's time. What all of them ask for stays below a
maximum: a stream that would exceed it with the cheapest of its models is refused. While capacity is free, streams go
up to better models, one step at a time, the lowest first. Streams without a rate ask for nothing and take what is
left.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Generic, Protocol, TypeVar

from esr_server.config import CapacitySettings
from esr_server.errors import OverloadedError, TooDemandingError
from esr_server.models.cost import Cost


class Rung(Protocol):
    """A model, as far as capacity is concerned."""

    @property
    def name(self) -> str: ...

    @property
    def cost(self) -> Cost: ...


RungT = TypeVar("RungT", bound=Rung)


@dataclass(frozen=True, slots=True)
class Demand(Generic[RungT]):
    """What a stream asks for."""

    rungs: tuple[RungT, ...]
    """Models that it may run, best first; each costs less than the one before."""
    fps: float | None
    """Frames per second that it declares; None: it takes what is left."""
    pixels: int
    """Of an input frame."""

    @property
    def lowest(self) -> int:
        return len(self.rungs) - 1

    def without(self, name: str) -> Demand[RungT]:
        """The same without a model, unless that is its only one."""
        rungs = tuple(rung for rung in self.rungs if rung.name != name)
        return replace(self, rungs=rungs or self.rungs)

    def load(self, index: int) -> float:
        """Seconds of work that a second of the stream takes with the rung of this index."""
        return self.fps * self.rungs[index].cost.of(self.pixels) if self.fps else 0.0


class Reservation(Generic[RungT]):
    """What one stream was given. `rung` may change between any two frames."""

    def __init__(self, demand: Demand[RungT]) -> None:
        self.demand = demand
        self.index = self.target = demand.lowest
        self.affordable_since_s: float | None = None

    @property
    def rung(self) -> RungT:
        """The model for the next frame."""
        rungs = self.demand.rungs
        return rungs[min(self.index, len(rungs) - 1)]  # another thread may be between changing the one and the other

    @property
    def load(self) -> float:
        """Return the share of the machine that it needs with that model, by the measured cost."""
        demand = self.demand
        return demand.load(min(self.index, demand.lowest))


class SlowdownFactor:
    """How much slower the machine is than it was measured to be, as frames that are late tell.

    It rises by steps while frames are late, and falls by steps when none has been for a while. Where it had to rise
    again soon after it fell, the next fall takes twice as long to come: streams do not go up and down for ever.
    """

    _STEP = 1.25
    _HIGHEST = 16.0

    def __init__(self, settings: CapacitySettings, now_s: float) -> None:
        self._settings = settings
        self.factor = 1.0
        self._hold_s = settings.hold_s
        self._fell_s = self._calm_since_s = self._window_began_s = now_s
        self._frames = self._late = 0

    def count(self, late: bool, now_s: float) -> bool:
        """Count a frame; returns whether the factor has changed."""
        self._frames += 1
        self._late += late
        if now_s < self._window_began_s + self._settings.window_s:
            return False
        share = self._late / self._frames
        self._window_began_s, self._frames, self._late = now_s, 0, 0
        return self._rise(now_s) if share > self._settings.late_share else self._fall(now_s)

    def ease(self) -> None:
        """Load has gone: what was learnt of going up too soon no longer holds."""
        self._hold_s = self._settings.hold_s

    def _rise(self, now_s: float) -> bool:
        if now_s - self._fell_s < 2 * self._hold_s and self._fell_s > self._calm_since_s:
            self._hold_s = min(2 * self._hold_s, self._settings.longest_hold_s)
        self._calm_since_s = now_s
        before, self.factor = self.factor, min(self.factor * self._STEP, self._HIGHEST)
        return self.factor != before

    def _fall(self, now_s: float) -> bool:
        if self.factor == 1.0 or now_s - max(self._calm_since_s, self._fell_s) < self._hold_s:
            return False
        self.factor = max(1.0, self.factor / self._STEP)
        self._fell_s = now_s
        return True


class Capacity(Generic[RungT]):
    """The machine's time, and who has been promised how much of it. For one event loop; `load`, `fits` and
    `Reservation.rung` may be read from any thread.
    """

    def __init__(
        self,
        settings: CapacitySettings,
        frames_at_once: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._frames_at_once = frames_at_once
        self._clock = clock
        self._reservations: list[Reservation[RungT]] = []
        self._slowdown = SlowdownFactor(settings, clock())

    @property
    def load(self) -> float:
        """Return the share of the machine that running streams need with their models; 1 is all of it."""
        total = sum(reservation.load for reservation in tuple(self._reservations))
        return total * self._slowdown.factor / self._frames_at_once

    def fits(self, demand: Demand[RungT]) -> bool:
        """Return whether a stream would be taken in that may run any of these models."""
        return self._part(demand, demand.lowest) <= self._free

    @contextmanager
    def reserve(self, demand: Demand[RungT]) -> Iterator[Reservation[RungT]]:
        """Hold a stream's share of the machine. Raises as `admit`."""
        reservation = self.admit(demand)
        try:
            yield reservation
        finally:
            self.release(reservation)

    def admit(self, demand: Demand[RungT]) -> Reservation[RungT]:
        """Give a stream its share, which makes others go down where it has to.

        Raises:
            TooDemandingError: not even the cheapest of its models would fit if no other stream ran.
            OverloadedError: it does not fit, even with the cheapest models of all streams.
        """
        self._check_ever_fits(demand)
        if demand.fps and not self.fits(demand):
            raise OverloadedError(
                f"this stream asks for {self._part(demand, demand.lowest):.0%} of the machine, of which "
                f"{max(0.0, self._free):.0%} is free; try again later, with a cheaper model, a smaller picture or a "
                f"lower target_fps"
            )
        reservation = Reservation(demand)
        self._reservations.append(reservation)
        self._plan()
        reservation.index = reservation.target  # it has shown nothing yet that going up should wait for
        return reservation

    def change(self, reservation: Reservation[RungT], demand: Demand[RungT]) -> None:
        """Ask for something else for a running stream.

        Raises:
            TooDemandingError, OverloadedError: as `admit`; the stream then keeps the share that it has.
        """
        self._check_ever_fits(demand)
        place, before = self._reservations.index(reservation), reservation.demand
        self._reservations.remove(reservation)
        fits = not demand.fps or self.fits(demand)
        reservation.demand, reservation.index = (demand, demand.lowest) if fits else (before, reservation.index)
        self._reservations.insert(place, reservation)
        self._plan()
        if not fits:
            raise OverloadedError(
                f"what this stream asks for now takes {self._part(demand, demand.lowest):.0%} of the machine, and so "
                f"much is not free; try again later, or with a cheaper model"
            )
        reservation.index = reservation.target

    def release(self, reservation: Reservation[RungT]) -> None:
        self._reservations.remove(reservation)
        self._slowdown.ease()
        self._plan()

    def withdraw(self, name: str) -> None:
        """A model is no longer served: ladders that have other rungs lose this one."""
        changed = [
            reservation
            for reservation in self._reservations
            if len(reservation.demand.without(name).rungs) < len(reservation.demand.rungs)
        ]
        for reservation in changed:
            reservation.demand = reservation.demand.without(name)
            reservation.index = reservation.demand.lowest
        self._plan()
        for reservation in changed:
            reservation.index = reservation.target

    def delivered(self, *, late: bool) -> None:
        """A frame of a stream with a declared rate was delivered, in time or late, or dropped, which counts as late."""
        if self._slowdown.count(late, self._clock()):
            self._plan()
        self._move()

    def _check_ever_fits(self, demand: Demand[RungT]) -> None:
        part, most = demand.load(demand.lowest) / self._frames_at_once, self._settings.max_load
        if demand.fps and part > most:
            rung, fps = demand.rungs[demand.lowest], demand.fps * most / part
            step = 1 if fps >= 100 else 10 if fps >= 1 else 1000  # rounded down: what is named fits
            raise TooDemandingError(
                f"this machine cannot keep {demand.fps:g} fps with {rung.name} at {demand.pixels} pixels, even if no "
                f"other stream runs: that takes {part:.0%} of it, and streams get {most:.0%}; ask for at most "
                f"{math.floor(fps * step + 1e-6) / step:.6g} fps, a cheaper model or a smaller picture, or leave out "
                "target_fps"
            )

    @property
    def _free(self) -> float:
        """Return the share that is left if every stream goes down to its cheapest model."""
        lowest = sum(
            self._part(reservation.demand, reservation.demand.lowest) for reservation in tuple(self._reservations)
        )
        return self._settings.max_load - lowest

    def _plan(self) -> None:
        """Choose each stream's rung: all at their lowest, then up step by step, the lowest first, while it fits."""
        free = self._free
        for reservation in self._reservations:
            reservation.target = reservation.demand.lowest
        while (up := self._next_up(free)) is not None:
            reservation, price = up
            reservation.target -= 1
            free -= price
        self._move()

    def _next_up(self, free: float) -> tuple[Reservation[RungT], float] | None:
        for reservation in sorted(self._reservations, key=lambda each: -each.target):
            if reservation.target:
                price = self._part(reservation.demand, reservation.target - 1) - self._part(
                    reservation.demand, reservation.target
                )
                if price <= free:
                    return reservation, price
        return None

    def _move(self) -> None:
        """Send streams down at once where they have to, and up where that has been affordable for a while."""
        now_s = self._clock()
        for reservation in self._reservations:
            if reservation.target >= reservation.index:
                reservation.index, reservation.affordable_since_s = reservation.target, None
            elif reservation.affordable_since_s is None:
                reservation.affordable_since_s = now_s
            elif now_s - reservation.affordable_since_s >= self._settings.hold_s:
                reservation.index, reservation.affordable_since_s = reservation.target, None

    def _part(self, demand: Demand[RungT], index: int) -> float:
        return demand.load(index) * self._slowdown.factor / self._frames_at_once
