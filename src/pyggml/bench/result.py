"""What a test gave: a time for each repetition, and the figures that llama-bench makes of them."""

import statistics
from dataclasses import dataclass
from math import isqrt

from pyggml.bench.cases import BenchCase
from pyggml.bench.summary import ModelSummary


@dataclass(frozen=True)
class BenchResult:
    """`test_time` is when the test began, in UTC; `samples_ns` the nanoseconds of each repetition."""

    case: BenchCase
    model: ModelSummary
    test_time: str
    samples_ns: tuple[int, ...]
    n_on_gpu: int = 0
    """Layers that were on a GPU, the output counted as one."""

    @property
    def backend(self) -> str:
        """As llama-bench calls it."""
        return "CUDA" if self.n_on_gpu else "CPU"

    @property
    def samples_ts(self) -> tuple[float, ...]:
        """Tokens a second in each repetition."""
        return tuple(1e9 * self.case.n_tokens / each for each in self.samples_ns)

    @property
    def avg_ns(self) -> int:
        """Their mean, in whole nanoseconds."""
        return sum(self.samples_ns) // len(self.samples_ns)

    @property
    def stddev_ns(self) -> int:
        """Their standard deviation, in whole nanoseconds; 0 for a single one."""
        return isqrt(int(statistics.variance(self.samples_ns))) if len(self.samples_ns) > 1 else 0

    @property
    def avg_ts(self) -> float:
        """The mean of the speeds."""
        return statistics.fmean(self.samples_ts)

    @property
    def stddev_ts(self) -> float:
        """Their standard deviation; 0 for a single one."""
        return statistics.stdev(self.samples_ts) if len(self.samples_ts) > 1 else 0.0
