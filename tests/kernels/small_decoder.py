"""A decoder of two layers with random weights, as a graph on the CPU and as plain numbers for the float64 oracle."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from pyggml.backend.cpu import CPUBackend
from pyggml.backend.cpu.weights import CPUWeight
from pyggml.backend.graph import Graph, Rope, Value
from pyggml.backend.protocol import CacheShape, Step
from pyggml_kernels.formats import format_named
from pyggml_reference import quants, scalar
from tests.kernels.calling import Doubles, Floats

N_LAYERS, N_EMBD, N_HEADS, N_KV_HEADS, HEAD_SIZE, N_FF, N_VOCAB = 2, 256, 4, 2, 64, 256, 50
PAGE_SIZE, N_PAGES, N_BATCH, N_SEQUENCES = 4, 24, 20, 3
EPSILON, FREQ_BASE = 1e-5, 10000.0
SCALE = HEAD_SIZE**-0.5

_MATRICES = {
    "attn_q": (N_HEADS * HEAD_SIZE, N_EMBD),
    "attn_k": (N_KV_HEADS * HEAD_SIZE, N_EMBD),
    "attn_v": (N_KV_HEADS * HEAD_SIZE, N_EMBD),
    "attn_output": (N_EMBD, N_HEADS * HEAD_SIZE),
    "ffn_gate": (N_FF, N_EMBD),
    "ffn_up": (N_FF, N_EMBD),
    "ffn_down": (N_EMBD, N_FF),
}


@dataclass(frozen=True)
class Decoder:
    """Weights by their GGUF names: matrices in one format, norms and biases as floats."""

    format_name: str
    halves: bool
    weights: dict[str, Floats] = field(default_factory=dict)

    def __post_init__(self) -> None:
        generator = np.random.default_rng(7)
        shapes = {f"blk.{layer}.{name}": shape for layer in range(N_LAYERS) for name, shape in _MATRICES.items()}
        for name, shape in {"token_embd": (N_VOCAB, N_EMBD), **shapes, "output": (N_VOCAB, N_EMBD)}.items():
            matrix = generator.standard_normal(shape) * (1 if name == "token_embd" else 2 / np.sqrt(shape[1]))
            self.weights[f"{name}.weight"] = matrix.astype(np.float32)
            if name.endswith(("attn_q", "attn_k", "attn_v")):
                self.weights[f"{name}.bias"] = generator.standard_normal(shape[0]).astype(np.float32)
        for name in [f"blk.{layer}.{kind}" for layer in range(N_LAYERS) for kind in ("attn_norm", "ffn_norm")]:
            self.weights[f"{name}.weight"] = generator.uniform(0.5, 1.5, N_EMBD).astype(np.float32)
        self.weights["output_norm.weight"] = generator.uniform(0.5, 1.5, N_EMBD).astype(np.float32)

    def exact_logits(self, tokens: Sequence[int]) -> Doubles:
        """Of all tokens of a text, for weights in F32, by the float64 oracle."""
        mode: Literal["neox", "norm"] = "neox" if self.halves else "norm"
        config = scalar.ScalarConfig(N_HEADS, N_KV_HEADS, HEAD_SIZE, EPSILON, mode, FREQ_BASE)
        return scalar.logits(config, {name: each.astype(np.float64) for name, each in self.weights.items()}, tokens)

    def _place(self, backend: CPUBackend, name: str) -> CPUWeight:
        values = self.weights[name]
        if values.ndim == 1:
            return backend.vector(values.view(np.uint8), 0, values.size)
        form = format_named(self.format_name)
        encoded = quants.quantize(form.type_id, values)
        place = backend.table if name == "token_embd.weight" else backend.matrix
        return place(encoded.reshape(-1), form.type_id, *values.shape)

    def graph(self, backend: CPUBackend) -> Graph:
        """Tokens to the logits of the wanted outputs."""
        graph = Graph()
        pairs = HEAD_SIZE // 2
        theta_scale = float(np.float32(FREQ_BASE ** (-1 / pairs)))
        rope = Rope(pairs, self.halves, theta_scale, 1.0, 0.0, 1.0, (0.0, 0.0), np.ones(pairs, np.float32))

        def weight(name: str) -> CPUWeight:
            return self._place(backend, name)

        def linear(x: Value, name: str) -> Value:
            bias = weight(f"{name}.bias") if f"{name}.bias" in self.weights else None
            return graph.linear(x, weight(f"{name}.weight"), bias)

        x, angles = graph.embed(weight("token_embd.weight")), graph.rope_angles(rope)
        for layer in range(N_LAYERS):
            blk = f"blk.{layer}"
            h = graph.rms_norm(x, weight(f"{blk}.attn_norm.weight"), EPSILON)
            q, k, v = (linear(h, f"{blk}.attn_{each}") for each in "qkv")
            q, k = graph.rotate(q, angles, rope, N_HEADS), graph.rotate(k, angles, rope, N_KV_HEADS)
            h = graph.attention(q, k, v, layer=layer, n_heads=N_HEADS, scale=SCALE, n_columns=N_HEADS * HEAD_SIZE)
            x = graph.add(x, linear(h, f"{blk}.attn_output"))
            h = graph.rms_norm(x, weight(f"{blk}.ffn_norm.weight"), EPSILON)
            h = graph.swiglu(linear(h, f"{blk}.ffn_gate"), linear(h, f"{blk}.ffn_up"))
            x = graph.add(x, linear(h, f"{blk}.ffn_down"))
        graph.rms_norm(graph.select_outputs(x), weight("output_norm.weight"), EPSILON)
        linear(graph.result, "output")
        return graph


@dataclass(frozen=True)
class Part:
    """Tokens of one sequence from a position on, and which of them are outputs."""

    sequence: int
    start: int
    tokens: Sequence[int]
    outputs: Sequence[int]


class Runner:
    """The decoder compiled, with a cache in which each sequence has pages of its own, in a mixed order."""

    def __init__(self, decoder: Decoder, *, n_threads: int = 2, cache_format: str = "f32") -> None:
        self.backend = CPUBackend(n_threads, N_BATCH, N_SEQUENCES)
        shape = CacheShape(N_LAYERS, N_KV_HEADS, HEAD_SIZE, HEAD_SIZE, N_PAGES, PAGE_SIZE, cache_format, cache_format)
        self.executable = self.backend.compile(decoder.graph(self.backend), self.backend.cache(shape))
        self.pages = np.random.default_rng(n_threads).permutation(N_PAGES).reshape(N_SEQUENCES, -1).astype(np.int32)

    def run(self, parts: Sequence[Part]) -> Floats:
        """The logits (n_outputs, N_VOCAB) of all parts as one batch."""
        starts = np.cumsum([0, *[len(part.tokens) for part in parts]])
        step = Step(
            tokens=_i32([token for part in parts for token in part.tokens]),
            positions=_i32([part.start + i for part in parts for i in range(len(part.tokens))]),
            sequences=_i32([row for row, part in enumerate(parts) for _ in part.tokens]),
            page_table=self.pages[[part.sequence for part in parts]],
            outputs=_i32([start + i for start, part in zip(starts, parts, strict=False) for i in part.outputs]),
        )
        return self.executable.run(step).copy()

    def read(self, tokens: Sequence[int], sizes: Sequence[int], sequence: int = 0) -> Floats:
        """The logits of all tokens of a text, in batches of these sizes in turn."""
        rows: list[Floats] = []
        start = 0
        while start < len(tokens):
            n = min(sizes[len(rows) % len(sizes)], len(tokens) - start)
            rows.append(self.run([Part(sequence, start, tokens[start : start + n], range(n))]))
            start += n
        return np.concatenate(rows)


def _i32(values: Sequence[Any]) -> npt.NDArray[np.int32]:
    return np.array(values, np.int32)
