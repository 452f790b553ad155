"""Layers shared out between the GPU and the CPU: the small model's text at every split, speeds of large ones.

python -m benchmarks.cuda.offload                   # all of it, in a few minutes
python -m benchmarks.cuda.offload small             # the small model
python -m benchmarks.cuda.offload 14B-Q3_K_M:20     # the speeds of one with 20 layers on the GPU
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from cupy.cuda import runtime

import pyggml
from benchmarks.cuda.models import HELD_OUT, agreement, divergence, engine_for, generation, prompt, random_matrix
from pyggml.model import Model
from pyggml.package_data import demo_model

BEGINNINGS = ("Once upon a time", "The little dog", "def main():\n")


def greedy_tokens(model: Model, beginning: str) -> list[int]:
    """What the model goes on with."""
    greedy = pyggml.SamplingOptions(temperature=0.0)
    events = model.generate(beginning, sampling=greedy, max_tokens=100)
    return [event.token for event in events if isinstance(event, pyggml.TextEvent) and event.token is not None]


def check_splits(path: Path) -> Iterator[str]:
    """A model with any number of its layers on the GPU beside the same model on the CPU."""
    cpu = pyggml.load(path, n_ctx=512)
    text = cpu.tokenize(HELD_OUT.read_text(encoding="utf-8"))[:448]
    exact, texts = cpu.logits(text).astype(np.float64), [greedy_tokens(cpu, each) for each in BEGINNINGS]
    for n in range(1, cpu.config.n_layers + 2):
        model = pyggml.load(path, n_ctx=512, n_gpu_layers=n, op_offload=False)
        streamed = pyggml.load(path, n_ctx=512, n_gpu_layers=n).logits(text).astype(np.float64)
        found = model.logits(text).astype(np.float64)
        equal = sum(greedy_tokens(model, each) == expected for each, expected in zip(BEGINNINGS, texts, strict=True))
        states = [model.hidden_states(text, layer) for layer in range(cpu.config.n_layers + 1 - n)]
        kept = sum(np.array_equal(each, cpu.hidden_states(text, layer)) for layer, each in enumerate(states))
        yield (
            f"-ngl {n}: greedy texts equal {equal} of {len(texts)}, mean KL divergence {divergence(exact, found):.1e},"
            f" top-1 {agreement(exact, found):.2%}, states of the CPU's layers that are equal {kept} of {len(states)};"
            f" streamed: mean KL divergence {divergence(exact, streamed):.1e}, top-1 {agreement(exact, streamed):.2%}"
        )


def speeds(name: str, n_gpu_layers: int) -> Iterator[str]:
    """A model of random weights with so many layers on the GPU."""
    before, total = runtime.memGetInfo()
    engine, n_bytes, seconds = engine_for(name, 4096, 2, 512, n_gpu_layers)
    placed = (before - runtime.memGetInfo()[0]) / 1e9
    model = f"{name} -ngl {n_gpu_layers}"
    yield f"{model}: {n_bytes / 1e9:.2f} GB placed in {seconds:.1f} s, {placed:.2f} GB of them on the GPU"
    yield f"{model}: generation: {generation(engine, 0, 16, 5):.1f} t/s"
    yield f"{model}: prompt 512: {prompt(engine, 512, 3):.0f} t/s"
    yield f"{model}: GPU memory in use: {(total - runtime.memGetInfo()[0]) / 1e9:.2f} GB"


def main(names: Sequence[str]) -> None:
    """Print it all, or what is named."""
    for name in names or ["small", "14B-Q3_K_M:20", "14B-Q3_K_M:0"]:
        random_matrix.cache_clear()
        model, _, n = name.partition(":")
        for line in check_splits(demo_model()) if name == "small" else speeds(model, int(n)):
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
