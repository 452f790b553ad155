"""From main memory to the device, by several threads at once. Importing it needs CuPy.

The device cannot read memory that is mapped from a file at full speed, nor does one thread copy as fast as the bus.
So each of some threads copies pieces into pinned memory, from where the device fetches and packs one while the thread
copies the next.
"""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import cycle
from typing import Any

from pyggml_cuda import device
from pyggml_cuda.pieces import MOST_LANES, PIECE_BYTES, PIECES_PER_LANE, Piece
from pyggml_kernels.formats import Format, LevelFormat


class Lanes:
    """So many threads, each with pinned memory and a stream of its own on the current device."""

    def __init__(self, n_lanes: int) -> None:
        self._lanes = [_Lane() for _ in range(min(n_lanes, MOST_LANES))]
        self._turn = 0

    def send(self, pieces: Sequence[Piece], after: Any = None) -> "Delivery":
        """Begin to send pieces, behind those sent before; nothing is written before the event `after`."""
        n = len(self._lanes)
        shares = [pieces[first::n] for first in range(min(n, len(pieces)))]
        jobs = [self._lanes[(self._turn + i) % n].send(share, after) for i, share in enumerate(shares)]
        self._turn = (self._turn + len(pieces)) % n
        return Delivery(jobs)

    def close(self) -> None:
        """Wait until everything is in its place, and end the threads."""
        for lane in self._lanes:
            lane.close()


class Delivery:
    """Pieces on their way."""

    def __init__(self, jobs: Sequence["Future[Any]"]) -> None:
        self._jobs = jobs

    def wait(self) -> None:
        """Wait until all has been read and may be forgotten; the device may still be at it."""
        for job in self._jobs:
            job.result()

    def precede(self, stream: Any) -> None:
        """Wait as `wait` does; what the stream is given from now on begins when all is in its place."""
        for job in self._jobs:
            stream.wait_event(job.result())


class _Buffer:
    """Room for a piece, and an event: the device needs it no longer."""

    def __init__(self) -> None:
        self.free = device.new_event()
        self._make_room(PIECE_BYTES)

    def _make_room(self, n_bytes: int) -> None:
        self.host = device.pinned(n_bytes)
        self.blocks = device.empty(n_bytes)

    def take(self, n_bytes: int) -> Any:
        """So much of the host's memory, once the device has read what was there before."""
        self.free.synchronize()
        if n_bytes > self.host.size:
            # Sixteen rows go together, however long they are.
            self._make_room(n_bytes)
        return self.host[:n_bytes]


class _Lane:
    def __init__(self) -> None:
        self._device = device.current()
        self._stream = device.new_stream()
        self._buffers = cycle([_Buffer() for _ in range(PIECES_PER_LANE)])
        self._thread = ThreadPoolExecutor(1, "pyggml-upload")

    def send(self, pieces: Sequence[Piece], after: Any) -> "Future[Any]":
        """Have the thread send pieces; its result is an event: they are in their places."""
        return self._thread.submit(self._send_all, pieces, after)

    def close(self) -> None:
        self._thread.shutdown()
        self._stream.synchronize()

    def _send_all(self, pieces: Sequence[Piece], after: Any) -> Any:
        # A thread begins with the first device.
        with device.on(self._device):
            if after is not None:
                self._stream.wait_event(after)
            for piece in pieces:
                self._send(piece, next(self._buffers))
            done = device.new_event()
            done.record(self._stream)
            return done

    def _send(self, piece: Piece, buffer: _Buffer) -> None:
        host = buffer.take(piece.n_bytes)
        piece.read(host)
        if piece.pack is None:
            device.copy_to_device(piece.target, host, self._stream)
        else:
            address = int(buffer.blocks.data.ptr)
            device.copy_to_device(address, host, self._stream)
            device.launching(piece.pack(address))(self._stream)
        buffer.free.record(self._stream)


def prepare(form: Format, pieces: Sequence[Piece]) -> None:
    """Compile what reads and packs the pieces of a matrix: here once, rather than in all threads at once."""
    if isinstance(form, LevelFormat):
        form.decode.prepare()
    for piece in pieces[:1]:
        if piece.pack is not None:
            device.launching(piece.pack(0))
