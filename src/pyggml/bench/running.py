"""Running the tests: a model is loaded once for all tests of a setup, a depth is filled once and returned to."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby

import numpy as np

from pyggml.bench.cases import BenchCase, BenchSetup
from pyggml.bench.result import BenchResult
from pyggml.bench.summary import summarize_model
from pyggml.engine import Part
from pyggml.model import Model, load
from pyggml.placement import AUTO

Report = Callable[[str], None]


@dataclass(frozen=True)
class RunOptions:
    """`repetitions` of each test, after one that does not count if `warmup`; `delay` seconds of rest before each test.

    Tokens are random: the same `seed` gives the same ones.
    """

    repetitions: int = 5
    warmup: bool = True
    delay: int = 0
    seed: int = 0


def run_cases(
    cases: Sequence[BenchCase], options: RunOptions, report: Report, on_compile: Report
) -> Iterator[BenchResult]:
    """Run the tests one after another. `report` is told what is being done, `on_compile` which kernel is compiled.

    Raises PyggmlError for a model that cannot be loaded as asked.
    """
    numbered = enumerate(cases, start=1)
    for setup, group in groupby(numbered, key=lambda each: each[1].setup):
        yield from _run_group(setup, list(group), len(cases), options, report, on_compile)


def _run_group(
    setup: BenchSetup,
    group: Sequence[tuple[int, BenchCase]],
    n_cases: int,
    options: RunOptions,
    report: Report,
    on_compile: Report,
) -> Iterator[BenchResult]:
    model = load(
        setup.model,
        n_ctx=max(case.n_depth + case.n_tokens for _, case in group),
        n_batch=setup.n_batch,
        n_ubatch=setup.n_ubatch,
        n_threads=setup.n_threads,
        n_gpu_layers=setup.n_gpu_layers if setup.n_gpu_layers >= 0 else AUTO,
        devices=setup.devices,
        split_mode=setup.split_mode,
        main_gpu=setup.main_gpu,
        tensor_split=setup.tensor_split,
        override_tensor=setup.tensor_buft_overrides,
        kv_offload=not setup.no_kv_offload,
        cache_type_k=setup.type_k,
        cache_type_v=setup.type_v,
        on_compile=on_compile,
    )
    summary = summarize_model(model.file)
    bench = _ModelBench(model, options.seed)
    for number, case in group:
        label = f"benchmark {number}/{n_cases}"
        _report(report, label, "starting")
        time.sleep(options.delay)
        test_time = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        samples = bench.measure(case, options, partial(_report, report, label))
        yield BenchResult(case, summary, test_time, tuple(samples), model.placement.n_on_gpu)


def _report(report: Report, label: str, text: str) -> None:
    report(f"{label}: {text}")


class _ModelBench:
    """A loaded model and a sequence, of which the first `_n_filled` positions hold a text to return to."""

    def __init__(self, model: Model, seed: int) -> None:
        self._engine = model.engine
        self._sequence = model.engine.new_sequence()
        self._n_filled = 0
        self._random = np.random.default_rng(seed)

    def measure(self, case: BenchCase, options: RunOptions, report: Report) -> Iterable[int]:
        """Give the nanoseconds of each repetition."""
        if case.n_depth:
            cached = " (cached)" if case.n_depth <= self._n_filled else ""
            report(f"depth run{cached}")
        self._return_to(case.n_depth)
        if options.warmup:
            self._warm_up(case, report)
        for number in range(1, options.repetitions + 1):
            self._return_to(case.n_depth)
            names = [name for name, n in (("prompt", case.n_prompt), ("generation", case.n_gen)) if n]
            report(f"{' and '.join(names)} run {number}/{options.repetitions}")
            prompt, generated = self._tokens(case.n_prompt), self._tokens(case.n_gen)
            start = time.perf_counter_ns()
            self._prompt(case.n_depth, prompt)
            self._generate(case.n_depth + case.n_prompt, generated)
            yield time.perf_counter_ns() - start

    def _warm_up(self, case: BenchCase, report: Report) -> None:
        """The whole prompt, and one token: what is compiled or laid out at first use is so afterwards."""
        if case.n_prompt:
            report("warmup prompt run")
            self._prompt(case.n_depth, self._tokens(case.n_prompt))
        if case.n_gen:
            report("warmup generation run")
            self._generate(case.n_depth + case.n_prompt, self._tokens(1))

    def _return_to(self, n_depth: int) -> None:
        """Keep the first `n_depth` positions, computing those that are not there yet."""
        if n_depth > self._n_filled:
            self._prompt(self._n_filled, self._tokens(n_depth - self._n_filled))
        self._n_filled = n_depth
        self._sequence.truncate(n_depth)

    def _prompt(self, start: int, tokens: list[int]) -> None:
        """Read tokens, batch by batch; the logits of the last one alone are computed."""
        for first in range(0, len(tokens), self._engine.n_batch):
            part = tokens[first : first + self._engine.n_batch]
            is_last = first + len(part) == len(tokens)
            self._engine.step([Part(self._sequence, start + first, part, [len(part) - 1] if is_last else [])])

    def _generate(self, start: int, tokens: list[int]) -> None:
        """Read tokens one at a time, as if each had been drawn from the logits before it."""
        for position, token in enumerate(tokens, start):
            self._engine.step([Part(self._sequence, position, [token], [0])])

    def _tokens(self, n: int) -> list[int]:
        tokens: list[int] = self._random.integers(self._engine.config.n_vocab, size=n).tolist()
        return tokens
