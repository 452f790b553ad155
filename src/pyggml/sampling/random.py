"""The random numbers of libstdc++: `std::mt19937` and the distributions that llama.cpp draws from."""

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

LARGEST_SEED = 2**32 - 1
_N_WORDS = 64
_LARGEST_FLOAT_BELOW_1 = np.float32(1.0 - 2.0**-24)


class MersenneTwister:
    """`std::mt19937`, seeded by one 32-bit number (Matsumoto and Nishimura 1998, `init_genrand` of 2002)."""

    def __init__(self, seed: int) -> None:
        """Start the sequence of this seed, 0 to 2^32 - 1."""
        # RandomState is frozen by NumPy's policy: whole numbers seed it as init_genrand, bytes() gives its raw words.
        self._state = np.random.RandomState(seed)
        self._words: Iterator[int] = iter(())

    def next_word(self) -> int:
        """Draw 32 bits."""
        for word in self._words:
            return word
        # Many at once take NumPy no longer than one.
        self._words = iter(np.frombuffer(self._state.bytes(4 * _N_WORDS), "<u4").tolist())
        return next(self._words)

    def next_double(self) -> float:
        """Draw from [0, 1) as `uniform_real_distribution<double>`: two words, the low half first, over 2^64."""
        low, high = self.next_word(), self.next_word()
        uniform = float(high << 32 | low) / 2.0**64
        return uniform if uniform < 1.0 else math.nextafter(1.0, 0.0)

    def next_float(self) -> np.float32:
        """Draw from [0, 1) as `uniform_real_distribution<float>`: one word over 2^32."""
        return min(np.float32(self.next_word()) / np.float32(2.0**32), _LARGEST_FLOAT_BELOW_1)

    def next_index(self, weights: npt.NDArray[np.float32]) -> int:
        """Draw an index as `discrete_distribution` over the weights; nothing is drawn for a single one."""
        if len(weights) < 2:
            return 0
        exact = weights.astype(np.float64)
        cumulative = np.add.accumulate(exact / np.add.accumulate(exact)[-1])
        cumulative[-1] = 1.0
        return int(np.searchsorted(cumulative, self.next_double(), side="left"))
