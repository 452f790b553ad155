"""The tests of llama-bench on the llama.cpp inside the wheel xllamacpp: python -m benchmarks.wheel -m FILE -p N ...

It takes those of llama-bench's options that the comparison needs, prints the fields of its JSON that the comparison
reads, and does what it does: a warm-up, a context for each test, the depth filled before the clock starts, random
tokens, no sampling.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter_ns
from typing import Literal

import numpy as np

from pyggml.bench import BenchCase, BenchGrid
from pyggml_reference.model import ReferenceModel

_NAMES: Mapping[int, Literal["auto", "off", "on"]] = {-1: "auto", 0: "off", 1: "on"}


@dataclass
class _Context:
    """A model, and where its tokens come from."""

    model: ReferenceModel
    random: np.random.Generator

    def prompt(self, start: int, n: int) -> None:
        if n:
            self.model.extend(self.random.integers(self.model.n_vocab, size=n).tolist(), start)

    def generate(self, start: int, n: int) -> None:
        for position, token in enumerate(self.random.integers(self.model.n_vocab, size=n).tolist(), start):
            self.model.extend([token], position)


def measure(case: BenchCase, repetitions: int) -> list[int]:
    """The nanoseconds of each repetition."""
    setup = case.setup
    samples = []
    with ReferenceModel(
        setup.model,
        n_ctx=case.n_depth + case.n_tokens,
        n_batch=setup.n_batch,
        n_ubatch=setup.n_ubatch,
        n_threads=setup.n_threads,
        flash_attn=_NAMES[setup.flash_attn],
    ) as model:
        context = _Context(model, np.random.default_rng(0))
        context.prompt(0, case.n_prompt)
        context.generate(case.n_prompt, min(1, case.n_gen))
        context.prompt(0, case.n_depth)
        for _ in range(repetitions):
            start = perf_counter_ns()
            context.prompt(case.n_depth, case.n_prompt)
            context.generate(case.n_depth + case.n_prompt, case.n_gen)
            samples.append(perf_counter_ns() - start)
    return samples


def main() -> None:
    """Run the tests, and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.wheel", allow_abbrev=False)
    parser.add_argument("-m", type=Path, required=True)
    for option in ("-p", "-n", "-d", "-t"):
        parser.add_argument(option, type=lambda text: tuple(map(int, text.split(","))), required=True)
    parser.add_argument("-r", type=int, required=True)
    parser.add_argument("-fa", type=int, choices=_NAMES, default=-1)
    parser.add_argument("-o", choices=["json"], required=True)
    given = parser.parse_args()
    grid = BenchGrid((given.m,), given.p, given.n, (), given.d, flash_attn=(given.fa,), n_threads=given.t)
    json.dump([_entry(case, measure(case, given.r)) for case in grid.cases()], sys.stdout)


def _entry(case: BenchCase, samples: list[int]) -> dict[str, object]:
    return {
        "n_prompt": case.n_prompt,
        "n_gen": case.n_gen,
        "n_depth": case.n_depth,
        "flash_attn": case.setup.flash_attn,
        "samples_ns": samples,
        "samples_ts": [1e9 * case.n_tokens / each for each in samples],
    }


if __name__ == "__main__":
    main()
