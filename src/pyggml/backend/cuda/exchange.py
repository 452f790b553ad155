"""Pinned memory through which values go to another device, and what it computes of them comes back."""

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from pyggml.backend.cuda.inputs import StepInputs
from pyggml.backend.protocol import Executable
from pyggml_cuda import device


class Exchange:
    """Room for the operands and the result of one operation at a time."""

    def __init__(self) -> None:
        self._host = np.zeros(0, np.uint8)

    def asking(
        self,
        executable: Executable,
        inputs: StepInputs,
        sizes: Sequence[tuple[int, int]],
        operands: Sequence[int],
        out: int,
    ) -> device.Action:
        """The action that has another device compute; the host waits for the operands, and for the device.

        `sizes` are rows and columns of the operands at these addresses, and of the result.
        """
        bounds = list(accumulate((4 * n_rows * n_columns for n_rows, n_columns in sizes), initial=0))
        if bounds[-1] > self._host.size:
            # What becomes too small stays in a pool: doubled, that is never more than what is used.
            self._host = device.pinned(max(bounds[-1], 2 * self._host.size))

        def ask(stream: Any) -> None:
            *given, result = self._views(sizes, bounds)
            for rows, address in zip(given, operands, strict=True):
                device.copy_to_host(rows, address, stream)
            stream.synchronize()
            result[:] = executable.run(inputs.step, *given)
            device.copy_to_device(out, result, stream)

        return ask

    def _views(self, sizes: Sequence[tuple[int, int]], bounds: Sequence[int]) -> list[npt.NDArray[np.float32]]:
        pieces = [self._host[start:end].view(np.float32) for start, end in pairwise(bounds)]
        return [piece.reshape(size) for piece, size in zip(pieces, sizes, strict=True)]
