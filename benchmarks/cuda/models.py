"""Whole models on the GPU: the small model's text beside the CPU's, and speeds in the shapes of Qwen2.5.

python -m benchmarks.cuda.models                # all of it, in a few minutes
python -m benchmarks.cuda.models 14B-Q3_K_M     # one model's speeds
"""

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

import pyggml
from pyggml.backend.cpu import CPUBackend
from pyggml.backend.cuda import CUDABackend, StreamingGPU
from pyggml.backend.protocol import Backend, Weight, WeightStore
from pyggml.backend.split import LayerSplit
from pyggml.backend.streaming import StreamingBackend
from pyggml.engine import Engine, Part
from pyggml.models import DecoderConfig, DecoderWeights
from pyggml.models.qwen2 import QWEN2
from pyggml.models.rope import RopeConfig
from pyggml.models.weights import LayerWeights
from pyggml.package_data import demo_model
from pyggml.sampling import Sampler, SamplingOptions
from pyggml_kernels.formats import format_named

HELD_OUT = Path(__file__).resolve().parent.parent.parent / "tests" / "data" / "heldout.txt"
#: What a copy within the memory of an H200 reads and writes a second.
COPY_RATE = 4.3e12


@dataclass(frozen=True)
class Shape:
    """Sizes of a Qwen2.5 model."""

    n_layers: int
    n_embd: int
    n_heads: int
    n_kv_heads: int
    n_ff: int
    n_vocab: int = 152064


SHAPES = {
    "14B": Shape(48, 5120, 40, 8, 13824),
    "7B": Shape(28, 3584, 28, 4, 18944),
    "1.5B": Shape(28, 1536, 12, 2, 8960, 151936),
}


def _more_bits(layer: int, n: int) -> bool:
    return layer < n // 8 or layer >= 7 * n // 8 or (layer - n // 8) % 3 == 2


def format_of(mixture: str, tensor: str, layer: int, n: int) -> str:
    """The format that llama.cpp's mixture gives a tensor of a layer."""
    if mixture == "Q4_K_M":
        return "Q6_K" if tensor in ("attn_v", "ffn_down") and _more_bits(layer, n) else "Q4_K"
    if mixture == "Q3_K_M":
        first = {"attn_v": 2, "ffn_down": n // 16}.get(tensor, 0)
        return "Q5_K" if layer < first else "Q4_K" if tensor in ("attn_v", "ffn_down", "attn_output") else "Q3_K"
    return mixture


@cache
def _random_bytes(n: int) -> npt.NDArray[np.uint8]:
    return np.frombuffer(np.random.default_rng(n).bytes(n), np.uint8)


@cache
def random_matrix(name: str, n_rows: int, n_columns: int) -> npt.NDArray[np.uint8]:
    """Random blocks whose scales make weights of about the usual size."""
    form = format_named(name)
    n_blocks = n_rows * n_columns // form.block_size
    blocks = np.resize(_random_bytes(1 << 24), n_blocks * form.block_bytes).view(form.layout).copy()
    for field in ("d", "dmin"):
        if field in (form.layout.names or ()):
            blocks[field] = 2.0**-12
    return blocks.view(np.uint8)


def random_weights(stores: Sequence[WeightStore], shape: Shape, mixture: str) -> tuple[DecoderWeights, int]:
    """Weights, placed in a store for each layer and one for the output, and their bytes that every token reads."""
    s, n_kv = shape, shape.n_kv_heads * (shape.n_embd // shape.n_heads)
    n_bytes = 0

    def matrix(store: WeightStore, name: str, rows: int, columns: int) -> Weight:
        nonlocal n_bytes
        data = random_matrix(name, rows, columns)
        n_bytes += data.nbytes
        return store.matrix(data, format_named(name).type_id, rows, columns)

    def vector(store: WeightStore, n: int, value: float) -> Weight:
        return store.vector(np.full(n, value, np.float32).view(np.uint8), 0, n)

    def layer(index: int, store: WeightStore) -> LayerWeights:
        sizes = {
            "attn_q": (s.n_embd, s.n_embd),
            "attn_k": (n_kv, s.n_embd),
            "attn_v": (n_kv, s.n_embd),
            "attn_output": (s.n_embd, s.n_embd),
            "ffn_gate": (s.n_ff, s.n_embd),
            "ffn_up": (s.n_ff, s.n_embd),
            "ffn_down": (s.n_embd, s.n_ff),
        }
        matrices: dict[str, Any] = {
            name: matrix(store, format_of(mixture, name, index, s.n_layers), *size) for name, size in sizes.items()
        }
        biases: dict[str, Any] = {
            f"attn_{each}_bias": vector(store, n, 0.0) for each, n in (("q", s.n_embd), ("k", n_kv), ("v", n_kv))
        }
        absent: dict[str, Any] = dict.fromkeys(
            f"{name}_bias" for name in ("attn_output", "ffn_gate", "ffn_up", "ffn_down")
        )
        return LayerWeights(
            attn_norm=vector(store, s.n_embd, 1.0),
            ffn_norm=vector(store, s.n_embd, 1.0),
            **matrices,
            **biases,
            **absent,
        )

    layers = tuple(layer(index, store) for index, store in enumerate(stores[:-1]))
    output = matrix(stores[-1], "Q8_0" if mixture == "Q8_0" else "Q6_K", s.n_vocab, s.n_embd)
    table = stores[0].table(random_matrix("Q8_0", 4096, s.n_embd), 8, 4096, s.n_embd)
    norm = vector(stores[-1], s.n_embd, 1.0)
    return DecoderWeights(table, layers, norm, output, None, None, "output.weight"), n_bytes


def engine_for(
    name: str, n_ctx: int, n_sequences: int, n_batch: int, n_gpu_layers: int | None = None
) -> tuple[Engine, int, float]:
    """A model of random weights, so many of its layers on the GPU or all; the bytes a token reads, and how long it took
    to place them."""
    size, mixture = name.split("-", 1)
    s = SHAPES[size]
    n_on_gpu = s.n_layers + 1 if n_gpu_layers is None else n_gpu_layers
    gpu, cpu = CUDABackend(n_batch, n_sequences), CPUBackend(None, n_batch, n_sequences)
    near = StreamingBackend(cpu, StreamingGPU(n_batch, n_sequences)) if 0 < n_on_gpu <= s.n_layers else cpu
    layers: list[Backend] = [*[near] * (s.n_layers + 1 - n_on_gpu), *[gpu] * n_on_gpu]
    start = perf_counter()
    weights, n_bytes = random_weights(layers, s, mixture)
    seconds = perf_counter() - start
    head = s.n_embd // s.n_heads
    config = DecoderConfig(
        architecture=QWEN2,
        n_layers=s.n_layers,
        n_vocab=s.n_vocab,
        n_ctx_train=32768,
        n_embd=s.n_embd,
        n_ff=s.n_ff,
        n_heads=s.n_heads,
        n_kv_heads=s.n_kv_heads,
        key_size=head,
        value_size=head,
        rms_epsilon=1e-6,
        attention_scale=head**-0.5,
        rope=RopeConfig(head, 1e6, "none", 1.0, 32768, 1.0),
    )
    engine = Engine(
        config,
        weights,
        LayerSplit(layers),
        n_ctx=n_ctx,
        n_cache=n_ctx * n_sequences,
        n_batch=n_batch,
        cache_formats=("f16", "f16"),
    )
    return engine, n_bytes, seconds


class _Vocabulary:
    """Tokens of which nothing is known but their number."""

    end_of_generation: frozenset[int] = frozenset()
    suppressed: tuple[int, ...] = ()

    def __init__(self, n_tokens: int) -> None:
        self.n_tokens = n_tokens

    def detokenize_bytes(self, tokens: Iterable[int], *, render_special: bool) -> bytes:
        """Nothing."""
        return b""

    def tokenize(self, text: bytes, *, add_special: bool, parse_special: bool) -> list[int]:
        """Nothing."""
        return []


def samplers_for(engine: Engine, n: int) -> list[Sampler]:
    """As many, with the settings that requests have by default."""
    vocabulary = _Vocabulary(engine.config.n_vocab)
    return [Sampler(SamplingOptions(seed=index), vocabulary) for index in range(n)]


def _step(engine: Engine, parts: Sequence[Part], samplers: Sequence[Sampler]) -> None:
    """A step, with all logits on the host; with samplers, instead of that, one token drawn for each part."""
    if not samplers:
        engine.step(parts)
        return
    for sampler, logits in zip(samplers, engine.logits(parts, largest_first=True), strict=True):
        sampler.choose(logits)


def generation(engine: Engine, depth: int, n: int = 64, repeat: int = 5, samplers: Sequence[Sampler] = ()) -> float:
    """Tokens a second behind `depth` tokens; see `_step`."""
    sequence = engine.new_sequence()
    sequence.reserve(max(depth, 1))
    times = []
    for _ in range(repeat + 1):
        start = perf_counter()
        for i in range(n):
            _step(engine, [Part(sequence, depth + i, [7 + i], [0])], samplers)
        times.append(perf_counter() - start)
    sequence.truncate(0)
    return n / median(times[1:])


def prompt(engine: Engine, n: int, repeat: int = 5) -> float:
    """Tokens a second of a prompt, in batches of the engine's."""
    sequence = engine.new_sequence()
    times = []
    for _ in range(repeat + 2):
        start = perf_counter()
        for first in range(0, n, engine.n_batch):
            size = min(engine.n_batch, n - first)
            engine.step([Part(sequence, first, list(range(first % 4000, first % 4000 + size)), [size - 1])])
        times.append(perf_counter() - start)
        sequence.truncate(0)
    return n / median(times[2:])


def batches(engine: Engine, n_sequences: int, n: int = 24, samplers: Sequence[Sampler] = ()) -> float:
    """Tokens a second of many sequences at a depth of 128, together; see `_step`."""
    sequences = [engine.new_sequence() for _ in range(n_sequences)]
    for each in sequences:
        each.reserve(128)
    times = []
    for i in range(n):
        start = perf_counter()
        _step(engine, [Part(each, 128 + i, [7 + i], [0]) for each in sequences], samplers)
        times.append(perf_counter() - start)
    for each in sequences:
        each.truncate(0)
    return n_sequences / median(times[3:])


def speeds(name: str) -> Iterator[str]:
    """A model's table."""
    n_sequences = 64 if name.startswith("7B") else 2
    engine, n_bytes, seconds = engine_for(name, 4096 if name.startswith("14B") else 33024, n_sequences, 512)
    yield f"{name}: {n_bytes / 1e9:.2f} GB placed in {seconds:.1f} s"
    for depth in (0, 8192, 32000) if name.startswith("7B") else (0,):
        rate = generation(engine, depth)
        yield f"{name}: generation at {depth}: {rate:.0f} t/s, {n_bytes * rate / COPY_RATE:.0%} of the copy rate"
    yield f"{name}: generation at 0, tokens drawn: {generation(engine, 0, samplers=samplers_for(engine, 1)):.0f} t/s"
    for n in (512, 2048):
        yield f"{name}: prompt {n}: {prompt(engine, n):.0f} t/s"
    for n in (4, 16, 64) if n_sequences == 64 else ():
        drawn = batches(engine, n, samplers=samplers_for(engine, n))
        yield f"{name}: {n} sequences: {batches(engine, n):.0f} t/s, tokens drawn: {drawn:.0f} t/s"


def check_small_model(path: Path) -> Iterator[str]:
    """A small model on both devices."""
    cpu, gpu = (pyggml.load(path, n_ctx=512, n_gpu_layers=n) for n in (0, 99))
    greedy = SamplingOptions(temperature=0.0)
    for beginning in ("Once upon a time", "The little dog", "def main():\n"):
        tokens = [
            [e.token for e in model.generate(beginning, sampling=greedy, max_tokens=200) if hasattr(e, "token")]
            for model in (cpu, gpu)
        ]
        same = next((i for i, (a, b) in enumerate(zip(*tokens, strict=False)) if a != b), min(map(len, tokens)))
        yield f"greedy text, {beginning!r}: {len(tokens[0])} and {len(tokens[1])} tokens, equal up to {same}"
    text = cpu.tokenize(HELD_OUT.read_text(encoding="utf-8"))[:448]
    a, b = (model.logits(text).astype(np.float64) for model in (cpu, gpu))
    yield f"logits: NMSE {_nmse(b, a):.1e}, mean KL divergence {divergence(a, b):.1e}, top-1 {agreement(a, b):.2%}"
    layers = [[model.hidden_states(text, layer) for model in (cpu, gpu)] for layer in range(cpu.config.n_layers + 1)]
    yield "hidden states after each layer, NMSE: " + ", ".join(f"{_nmse(y, x):.0e}" for x, y in layers)
    sequence = gpu.engine.new_sequence()
    one = np.concatenate(
        [gpu.engine.step([Part(sequence, i, [token], [0])]).copy() for i, token in enumerate(text[:300])]
    )
    differing = np.count_nonzero(one != gpu.logits(text[:300]))
    yield f"one by one and in batches: {differing} of {one.size} logits differ"


def divergence(exact: npt.NDArray[np.float64], found: npt.NDArray[np.float64]) -> float:
    """The mean KL divergence of logits (n_tokens, n_vocab) from others."""
    p, q = (each - _log_sum_exp(each) for each in (exact, found))
    return float((np.exp(p) * (p - q)).sum(-1).mean())


def agreement(exact: npt.NDArray[np.float64], found: npt.NDArray[np.float64]) -> float:
    """The share of tokens whose most probable next one is the same."""
    return float((exact.argmax(-1) == found.argmax(-1)).mean())


def _log_sum_exp(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    top = x.max(-1, keepdims=True)
    result: npt.NDArray[np.float64] = top + np.log(np.exp(x - top).sum(-1, keepdims=True))
    return result


def _nmse(found: npt.NDArray[np.floating], exact: npt.NDArray[np.floating]) -> float:
    return float(((found.astype(np.float64) - exact) ** 2).sum() / (exact.astype(np.float64) ** 2).sum())


def main(names: Sequence[str]) -> None:
    """Print it all, or what is named: "small", a file, a size and a mixture."""
    names = names or ["small", "14B-Q3_K_M", "14B-Q4_K_M", "7B-Q4_K_M", "1.5B-Q8_0"]
    small = [name for name in names if name == "small" or name.endswith(".gguf")]
    for name in names:
        random_matrix.cache_clear()
        lines = (
            check_small_model(Path(name) if name.endswith(".gguf") else demo_model()) if name in small else speeds(name)
        )
        for line in lines:
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
