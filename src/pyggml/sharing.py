"""How GPUs share the last layers of a model: in order, by given shares, or by the memory that is free on each."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

import numpy as np

from pyggml.gpus import name

#: Bytes of a GPU's memory that are left to others, and to what is not counted.
MARGIN = 1 << 30
#: Halvings of the interval in which the fullest GPU's share of its room is sought.
_N_HALVINGS = 48


@dataclass(frozen=True)
class Needs:
    """Bytes of a GPU's memory that a model needs."""

    layers: tuple[int, ...]
    """The weights of each layer with its keys and values, then those of the output."""
    shared: int
    """Once, wherever there are layers: a batch on its way through them, a matrix on its way to its place."""
    overriding: Mapping[str, int] = field(default_factory=dict)
    """What tensors take that lie on a GPU whatever it has of layers, with a batch for them, by its name."""

    def room(self, number: int, n_free: int) -> "Room":
        """What this leaves of a GPU's free memory."""
        return Room(number, n_free, self.overriding.get(name(number), 0))

    def of(self, n: int, n_behind: int = 0) -> int:
        """For `n` layers with `n_behind` layers behind them; the output is the very last."""
        end = len(self.layers) - n_behind
        return sum(self.layers[end - n : end]) + self.shared if n else 0


@dataclass(frozen=True)
class Room:
    """A GPU, and the bytes of its memory that are free."""

    number: int
    n_free: int
    n_taken: int = 0
    """What tensors take that lie there in any case."""

    @property
    def n_bytes(self) -> int:
        """What layers may take: not all of it."""
        return self.n_free - self.n_taken - MARGIN


@dataclass(frozen=True)
class Sharing:
    """How many of the last layers each GPU has, one after the other, the output belonging to the last of them."""

    needs: Needs
    rooms: tuple[Room, ...]
    counts: tuple[int, ...]

    @property
    def n(self) -> int:
        """Layers on all GPUs."""
        return sum(self.counts)

    @property
    def needed(self) -> tuple[int, ...]:
        """What each GPU needs."""
        behind = self.n - np.cumsum(self.counts)
        return tuple(self.needs.of(n, int(k)) for n, k in zip(self.counts, behind, strict=True))

    @property
    def fits(self) -> bool:
        """Whether each GPU has room for its layers."""
        each = zip(self.counts, self.needed, self.rooms, strict=True)
        return all(not n or needed <= room.n_bytes for n, needed, room in each)

    def __str__(self) -> str:
        """Which GPU has how many layers, if there are several GPUs."""
        parts = (f"{n} on {name(room.number)}" for n, room in zip(self.counts, self.rooms, strict=True))
        return f" ({', '.join(parts)})" if len(self.rooms) > 1 else ""


def share(needs: Needs, n: int, rooms: Sequence[Room], shares: Sequence[float] = ()) -> Sharing:
    """The last `n` layers on these GPUs; by memory, unless one of the shares is above 0."""
    counts = _by_shares(n, [*shares, *[0.0] * (len(rooms) - len(shares))]) if any(shares) else _by_room(needs, n, rooms)
    return Sharing(needs, tuple(rooms), counts)


def most(needs: Needs, rooms: Sequence[Room], shares: Sequence[float] = ()) -> Sharing:
    """As many layers as fit."""
    sharings = (share(needs, n, rooms, shares) for n in range(len(needs.layers), -1, -1))
    return next(sharing for sharing in sharings if sharing.fits)


def explain(sharing: Sharing, more: Sharing | None) -> str:
    """Why so many layers, in words; `more` is one layer more, if there is one."""
    n_all, rooms = len(sharing.needs.layers), sharing.rooms
    free = " and ".join(_size(room.n_free) for room in rooms)
    budget = f"{free} are free, {_size(MARGIN)} of which are left" + (" on each" if len(rooms) > 1 else "")
    where = f"on the GPU{'s' if len(rooms) > 1 else ''}, the output counted as one{sharing}"
    if more is None:
        return f"all {n_all} layers {where}: they need {_size(sum(sharing.needed))}; {budget}"
    missing = f"{more.n} would need {_size(sum(more.needed))}"
    if not sharing.n:
        return f"{missing}; {budget}"
    chosen = f"the last {sharing.n} of {n_all} layers {where}"
    return f"{chosen}: they need {_size(sum(sharing.needed))}, {missing}; {budget}; a smaller context (-c) makes room"


def _by_shares(n: int, shares: Sequence[float]) -> tuple[int, ...]:
    """A layer belongs to the first GPU whose shares, with those of the GPUs before it, exceed the layer's place among
    all: as llama.cpp has it, in float32."""
    ends = np.add.accumulate(np.array(shares, np.float32))
    owners = np.searchsorted(ends / ends[-1], np.arange(n, dtype=np.float32) / np.float32(max(1, n)), side="right")
    return tuple(np.bincount(owners, minlength=len(shares)).tolist())


def _by_room(needs: Needs, n: int, rooms: Sequence[Room]) -> tuple[int, ...]:
    """The GPU that is fullest is as little full as can be."""
    low, high = 0.0, 1.0
    while sum(_filled(needs, n, rooms, high)) < n:
        high *= 2
    for _ in range(_N_HALVINGS):
        middle = (low + high) / 2
        if sum(_filled(needs, n, rooms, middle)) < n:
            low = middle
        else:
            high = middle
    return _filled(needs, n, rooms, high)


def _filled(needs: Needs, n: int, rooms: Sequence[Room], fraction: float) -> tuple[int, ...]:
    """How many layers, of the last `n`, fit into this fraction of each GPU's room, the last GPU being filled first."""
    sizes = list(accumulate(reversed(needs.layers[len(needs.layers) - n :]), initial=0))
    counts: list[int] = []
    n_placed = 0
    for room in reversed(rooms):
        limit = sizes[n_placed] + fraction * max(1, room.n_bytes) - needs.shared
        end = max(n_placed, bisect_right(sizes, limit) - 1)
        counts.append(end - n_placed)
        n_placed = end
    return tuple(reversed(counts))


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 2**30:.1f} GiB" if n_bytes >= 2**30 else f"{n_bytes / 2**20:.0f} MiB"
