"""Processes that make training data, and a thread that moves it to the device."""

import queue
import random
import threading
import time
from collections.abc import Callable
from typing import Any

import torch
import torch.multiprocessing as processes

Batch = dict[str, Any]
Make = Callable[[random.Random], Batch]

_N_DRAWN, _N_READY = 60, 6
_N_KEPT = 100  # batches that may be shown again


def _run(seed: int, make: Make, drawn: Any) -> None:
    torch.set_num_threads(1)
    rng = random.Random(seed)
    while True:
        drawn.put(make(rng))


class Feed:
    """Batches on the device, made by processes; when these fall behind, recent batches are given again."""

    def __init__(self, make: Make, n_processes: int, seed: int) -> None:
        """Start the processes. They are forked: nothing may have touched the device yet."""
        processes.set_sharing_strategy("file_system")
        self.n_fresh = self.n_repeated = 0
        self.seconds_waited = 0.0
        self._drawn = processes.Queue(maxsize=_N_DRAWN)
        self._ready: queue.Queue[Batch] = queue.Queue(maxsize=_N_READY)
        self._processes = [
            processes.Process(target=_run, args=(seed * 1000 + index, make, self._drawn), daemon=True)
            for index in range(n_processes)
        ]
        for process in self._processes:
            process.start()

    def move_to(self, device: torch.device) -> None:
        """Begin to move batches to the device."""
        threading.Thread(target=self._move, args=(device,), daemon=True).start()

    def next(self) -> Batch:
        """The next batch, on the device."""
        began = time.perf_counter()
        batch = self._ready.get()
        self.seconds_waited += time.perf_counter() - began
        for value in batch.values():
            if torch.is_tensor(value) and value.is_cuda:  # made on the stream that copies, used on this one
                value.record_stream(torch.cuda.current_stream())
        return batch

    def stop(self) -> None:
        """End the processes."""
        for process in self._processes:
            process.terminate()

    def _move(self, device: torch.device) -> None:
        if device.type == "cuda":
            torch.cuda.set_device(device)
        stream = torch.cuda.Stream() if device.type == "cuda" else None
        recent: list[Batch] = []
        chooser = random.Random(1)
        while True:
            if self._drawn.empty() and len(recent) >= _N_DRAWN:
                batch = chooser.choice(recent)
                self.n_repeated += 1
            else:
                shared = self._drawn.get()  # copied out of the memory that the processes share
                batch = {name: value.clone() if torch.is_tensor(value) else value for name, value in shared.items()}
                recent = [*recent[1 - _N_KEPT :], batch]
                self.n_fresh += 1
            with torch.cuda.stream(stream):
                moved = on_device(batch, device)
            self._ready.put(moved)


def on_device(batch: Batch, device: torch.device) -> Batch:
    """The batch with its tensors on the device."""
    return {name: value.to(device) if torch.is_tensor(value) else value for name, value in batch.items()}
