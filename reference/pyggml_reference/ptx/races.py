"""Who wrote and read shared memory, and what orders it: an access that nothing puts behind another's write is a race.

Threads run in an order that hides most races. So each warp has a clock for each warp of its block, of what it knows
that warp to have done; barriers have warps share what they know. Within a warp only its own barrier orders lanes.

Source: Flanagan and Freund, FastTrack: efficient and precise dynamic race detection (PLDI 2009).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pyggml_reference.ptx.memory import EmulationError

Lanes = npt.NDArray[np.int64]
Offsets = npt.NDArray[np.int64]

#: Bytes that are looked upon as one.
_UNIT = 2
#: The clock of a write that is under way.
_NEVER = 1 << 30


class Races:
    """Of the blocks that run together, of so many threads each; `n_bytes` of shared memory in all."""

    def __init__(self, n_blocks: int, n_threads: int, n_bytes: int) -> None:
        self._per_block = n_threads
        self._n_warps = -(-n_threads // 32)
        self._known = np.zeros((n_blocks, self._n_warps, self._n_warps), np.int32)
        own = np.arange(self._n_warps)
        self._known[:, own, own] = 1
        self._epochs = np.zeros((n_blocks, self._n_warps), np.int32)
        n_units = n_bytes // _UNIT
        self._writer = np.full(n_units, -1, np.int32)
        self._writer_warp = np.full(n_units, -1, np.int32)
        self._write_clock = np.zeros(n_units, np.int32)
        self._write_epoch = np.zeros(n_units, np.int32)
        self._read_clock = np.zeros((n_units, self._n_warps), np.int32)
        self._change_clock = np.zeros((n_units, self._n_warps), np.int32)

    def _where(self, lanes: Lanes) -> tuple[Lanes, Lanes]:
        return lanes // self._per_block, lanes % self._per_block // 32

    def _units(self, offsets: Offsets, n_bytes: int) -> Offsets:
        """(n_lanes, n): the units of each lane's bytes."""
        return (offsets // _UNIT)[:, None] + np.arange(-(-n_bytes // _UNIT))

    def _check_writes(self, lanes: Lanes, units: Offsets) -> None:
        """EmulationError for a write before that nothing puts before now."""
        block, warp = self._where(lanes)
        writer_warp = self._writer_warp[units]
        same_warp = writer_warp == warp[:, None]
        known = self._known[block[:, None], warp[:, None], np.maximum(writer_warp, 0)]
        by_others = ~same_warp & (known < self._write_clock[units])
        in_warp = same_warp & (self._writer[units] != lanes[:, None])
        in_warp &= self._write_epoch[units] >= self._epochs[block, warp][:, None]
        wrong = (writer_warp >= 0) & (by_others | in_warp)
        if wrong.any():
            lane, place = (int(each[0]) for each in np.nonzero(wrong))
            writer = int(self._writer[units[lane, place]])
            raise EmulationError(
                f"a race: thread {int(lanes[lane])} is at bytes that thread {writer} wrote, and nothing orders the two"
            )

    def read(self, lanes: Lanes, offsets: Offsets, n_bytes: int) -> None:
        """These lanes read so many bytes each."""
        units = self._units(offsets, n_bytes)
        self._check_writes(lanes, units)
        self._check_changes(lanes, units)
        block, warp = self._where(lanes)
        self._read_clock[units, warp[:, None]] = self._known[block, warp, warp][:, None]

    def write(self, lanes: Lanes, offsets: Offsets, n_bytes: int) -> None:
        """These lanes write so many bytes each."""
        units = self._units(offsets, n_bytes)
        self.check_write(lanes, offsets, n_bytes)
        block, warp = self._where(lanes)
        self._record(lanes, units, self._known[block, warp, warp], self._epochs[block, warp])

    def change(self, lanes: Lanes, offsets: Offsets, n_bytes: int) -> None:
        """These lanes change so many bytes each, atomically: other such changes need not be ordered."""
        units = self._units(offsets, n_bytes)
        self._check_writes(lanes, units)
        self._check_reads(lanes, units)
        block, warp = self._where(lanes)
        self._change_clock[units, warp[:, None]] = self._known[block, warp, warp][:, None]

    def _check_changes(self, lanes: Lanes, units: Offsets) -> None:
        """EmulationError for an atomic change by another warp that nothing puts before now."""
        block, warp = self._where(lanes)
        known = self._known[block, warp].copy()
        known[np.arange(lanes.size), warp] = _NEVER
        if (self._change_clock[units] > known[:, None]).any():
            raise EmulationError("a race: bytes that another warp changed atomically, and nothing orders the two")

    def check_write(self, lanes: Lanes, offsets: Offsets, n_bytes: int) -> None:
        """EmulationError if others may still read, or have written, what is going to be overwritten."""
        units = self._units(offsets, n_bytes)
        self._check_writes(lanes, units)
        self._check_changes(lanes, units)
        self._check_reads(lanes, units)

    def _check_reads(self, lanes: Lanes, units: Offsets) -> None:
        block, warp = self._where(lanes)
        known = self._known[block, warp].copy()
        known[np.arange(lanes.size), warp] = _NEVER
        unread = self._read_clock[units] <= known[:, None]
        if not unread.all():
            lane = int(np.nonzero(~unread)[0][0])
            raise EmulationError(
                f"a race: thread {int(lanes[lane])} overwrites bytes that another warp read, and nothing orders the two"
            )

    def begin_write(self, lanes: Lanes, offsets: Offsets, n_bytes: int) -> None:
        """These lanes begin to write: until `write`, nobody may touch it."""
        self.check_write(lanes, offsets, n_bytes)
        never = np.full(lanes.size, _NEVER, np.int32)
        self._record(lanes, self._units(offsets, n_bytes), never, never)

    def copied(self, start: int, n_bytes: int) -> None:
        """The copy engine has written bytes; a barrier in memory tells who may read them."""
        units = np.arange(start, start + n_bytes, _UNIT) // _UNIT
        self._writer_warp[units] = -1

    def ask_copy(self, lane: int, start: int, n_bytes: int) -> None:
        """A lane has the copy engine write bytes."""
        offsets = np.arange(start, start + n_bytes, _UNIT)
        self.check_write(np.full(offsets.size, lane), offsets, _UNIT)

    def _record(self, lanes: Lanes, units: Offsets, clocks: npt.NDArray[Any], epochs: npt.NDArray[Any]) -> None:
        _, warp = self._where(lanes)
        self._writer[units] = lanes[:, None]
        self._writer_warp[units] = warp[:, None]
        self._write_clock[units] = clocks[:, None]
        self._write_epoch[units] = epochs[:, None]

    def warps_meet(self, lanes: Lanes) -> None:
        """All lanes of these warps have reached their warp's barrier."""
        block, warp = self._where(lanes[::32])
        self._epochs[block, warp] += 1

    def meet(self, lanes: Lanes) -> None:
        """These lanes of a block have met at a barrier."""
        block, warps = int(self._where(lanes)[0][0]), np.unique(self._where(lanes)[1])
        self._known[block, warps] = self._known[block, warps].max(axis=0)
        self._advance(block, warps)

    def arrive(self, lane: int, knowledge: npt.NDArray[np.int32] | None) -> npt.NDArray[np.int32]:
        """What a barrier in memory knows once this lane has arrived there too."""
        block, warp = (int(each[0]) for each in self._where(np.array([lane])))
        known: npt.NDArray[np.int32] = self._known[block, warp].copy()
        self._advance(block, [warp])
        if knowledge is not None:
            np.maximum(known, knowledge, out=known)
        return known

    def learn(self, lane: int, knowledge: npt.NDArray[np.int32] | None) -> None:
        """This lane has waited at a barrier in memory."""
        block, warp = (int(each[0]) for each in self._where(np.array([lane])))
        if knowledge is not None:
            self._known[block, warp] = np.maximum(self._known[block, warp], knowledge)
        self._epochs[block, warp] += 1

    def _advance(self, block: int, warps: npt.NDArray[np.int64] | Sequence[int]) -> None:
        self._known[block, warps, warps] += 1
        self._epochs[block, warps] += 1
