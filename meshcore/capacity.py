"""How much memory an instance's cache may use, and what copies that are being unloaded still take of it."""

from __future__ import annotations

from dataclasses import dataclass

from meshcore.units import UNIT_BYTES, to_units

MIN_LOAD_TIMEOUT_MS = 100
MIN_CAPACITY_BYTES = 512 * 1024 * 1024
ASSUME_LOADED_MS = 3_000
CHURN_AGE_FACTOR = 10
INFLIGHT_LEAST = 16
INFLIGHT_FACTOR = 8


def _require(is_allowed: bool, name: str, value: int, allowed: str) -> None:
    if not is_allowed:
        raise ValueError(f"The model server reports {name} = {value}; it must be {allowed}")


@dataclass(frozen=True, slots=True)
class CacheParams:
    """What the runtime said at its start, and what follows from it (docs/design.md, cache). Sizes in cache units."""

    capacity_units: int
    """All memory for models, ``reserve_units`` included."""
    reserve_units: int
    """Kept for copies that are being unloaded while others load already."""
    min_space_units: int
    """The instance is full when less than this is free."""
    default_units: int
    """The size assumed for a model that nobody knows the size of."""
    load_threads: int
    load_timeout_ms: int
    limits_concurrency: bool
    assume_loaded_ms: int
    """A load that began this long ago is taken to be over."""
    min_churn_age_ms: int
    """A copy used within this is not pushed out of a full cache; 0: it may be."""

    @classmethod
    def from_runtime(
        cls,
        capacity_bytes: int,
        load_threads: int,
        load_timeout_ms: int,
        default_size_bytes: int,
        limits_concurrency: bool,
        min_churn_age_ms: int = -1,
    ) -> CacheParams:
        """The parameters under the runtime's names for them; raises ValueError with a sentence for the operator."""
        _require(load_threads >= 1, "maxLoadingConcurrency", load_threads, "at least 1")
        timeout_floor = f"at least {MIN_LOAD_TIMEOUT_MS} (milliseconds)"
        _require(load_timeout_ms >= MIN_LOAD_TIMEOUT_MS, "modelLoadingTimeoutMs", load_timeout_ms, timeout_floor)
        _require(default_size_bytes >= 1, "defaultModelSizeInBytes", default_size_bytes, "at least 1")
        least = max(2 * default_size_bytes, min(MIN_CAPACITY_BYTES, 10 * default_size_bytes))
        because = f"at least {least} with defaultModelSizeInBytes = {default_size_bytes}"
        _require(capacity_bytes >= least, "capacityInBytes", capacity_bytes, because)
        capacity, default = capacity_bytes // UNIT_BYTES, to_units(default_size_bytes)
        at_once = default * load_threads
        assume_loaded_ms = max(ASSUME_LOADED_MS, load_timeout_ms // 3)
        return cls(
            capacity_units=capacity,
            reserve_units=max(min(at_once // (2 if load_threads <= 2 else 4), capacity // 10), capacity // 100),
            min_space_units=max(default, min(at_once, capacity // 20)),
            default_units=default,
            load_threads=load_threads,
            load_timeout_ms=load_timeout_ms,
            limits_concurrency=limits_concurrency,
            assume_loaded_ms=assume_loaded_ms,
            min_churn_age_ms=CHURN_AGE_FACTOR * assume_loaded_ms if min_churn_age_ms < 0 else min_churn_age_ms,
        )


def copy_limits(told: int, setting: int) -> tuple[int, int]:
    """How many requests a copy of limited concurrency takes at once, and with those that wait; 0: any number.

    ``told`` is what its load answered; ``setting`` the number set, 0 for one by the concurrency, negative for any.
    """
    at_once = max(1, told)
    if setting:
        return at_once, max(0, setting)
    return at_once, max(INFLIGHT_LEAST, INFLIGHT_FACTOR * at_once)


class UnloadBuffer:
    """The cache's sums, in units (docs/design.md, unload buffer).

    An eviction frees its place in the cache at once, its memory only when the unload is over. So a load takes two
    things one after the other: first a *place* (``grow``), which borrows the memory that is still to come back and thus
    takes from ``unloading``; then, once the memory is there, it *claims* it and may start. Without the borrowing each
    load would push out twice its size.

    Memory in use, loading and unloading included, is at most ``capacity + deficit`` after each method, and no claim
    adds to the deficit.
    """

    def __init__(self, capacity: int, reserve: int) -> None:
        self._nominal = capacity
        self.lost = 0
        """Units that the runtime never gave back."""
        self.reserve = reserve
        self.unloading = 0
        """Units being unloaded, less those that loads borrow and less the deficit: negative while many wait."""
        self.resident = 0
        """Units of all copies in the cache."""
        self.deficit = 0
        """Units in use beyond the capacity, for copies turned out larger than predicted; unloads pay them back."""

    @property
    def capacity(self) -> int:
        """All units, less those lost to unloads that never worked."""
        return max(1, self._nominal - self.lost)

    @property
    def buffer(self) -> int:
        """Units set aside for unloads: what is reserved, more when more is unloading."""
        return max(self.reserve, min(self.unloading, self.capacity))

    @property
    def total(self) -> int:
        return self.resident + self.buffer

    def short_units(self, growth: int) -> int:
        """Units to evict before the cache may hold ``growth`` more.

        An eviction moves units from ``resident`` to ``unloading``, so that only the reserve has to stay free: where
        more than that is unloading the growth waits for it, further evictions would not help.
        """
        return max(0, self.resident + growth + self.reserve - self.capacity)

    def grow(self, units: int) -> None:
        """A copy that has claimed nothing takes ``units`` more of the cache, negative: fewer."""
        self.resident += units
        self.unloading -= units

    def can_claim(self, units: int) -> bool:
        """Whether the memory for a place taken by ``grow`` is there.

        Unloading within the reserve always leaves it there; that need not be asked apart, and must not be where
        pinned copies or lost capacity have eaten into the reserve.
        """
        return self.unloading + units + self.resident <= self.capacity

    def claim(self, units: int) -> None:
        """The load begins: its memory is in use from now on."""
        self.unloading += units

    def removed(self, units: int) -> None:
        """A copy leaves the cache: its unload begins or, if it had claimed nothing, its borrowing ends."""
        self.resident -= units
        self.unloading += units

    def failed(self, units: int) -> None:
        """A copy's load failed: one unit stays in the cache, what it had claimed is to be unloaded."""
        self.grow(1 - units)

    def sized(self, change: int) -> None:
        """A loaded copy is ``change`` units larger than predicted, negative: smaller."""
        if change > 0:
            short = max(0, change - (self.capacity - self.total))
            self.deficit += short
            self.unloading -= short
        else:
            self._pay(-change)
        self.resident += change

    def unloaded(self, units: int) -> None:
        """The runtime gave memory back; a deficit takes it first."""
        self.unloading -= units
        self._pay(units)

    def unload_lost(self, units: int) -> None:
        """The runtime never gave memory back: the capacity is that much smaller."""
        self.unloading -= units
        self.lost += units

    def found(self, units: int) -> None:
        """The runtime gave memory back after all that had counted as lost."""
        self.lost -= units
        self._pay(units)

    def _pay(self, units: int) -> None:
        paid = min(units, self.deficit)
        self.deficit -= paid
        self.unloading += paid
