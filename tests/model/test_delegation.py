"""Weights on other devices than their layer, and attention in main memory: each computes what one device computes.

GPUs are CPU backends of their own, so that all is equal bit for bit.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pyggml
from pyggml.backend.cpu import CPUBackend
from pyggml.backend.delegation import delegate
from pyggml.backend.graph import Elsewhere, Graph
from pyggml.backend.protocol import Backend
from pyggml.engine import Part, cache_shape
from pyggml.engine.needs import gpu_needs
from pyggml.errors import UsageError
from pyggml.gguf import GGUFFile
from pyggml.models import DecoderConfig, architecture_of
from pyggml.sampling import Sampler
from pyggml.sharing import MARGIN
from pyggml_kernels.formats import FORMATS
from pyggml_reference.random_model import RandomModel, random_model
from tests.unit.fake_gpu import install_gpu

STORY = "Ravi was a curious boy who lived near the lighthouse. The sky was gray and quiet."


class FakeGPU(CPUBackend):
    def __init__(self, n_batch: int, n_sequences: int, number: int) -> None:
        super().__init__(1, n_batch, n_sequences)
        self.number = number


@pytest.fixture(autouse=True)
def gpus(monkeypatch: pytest.MonkeyPatch) -> Any:
    return install_gpu(monkeypatch, FakeGPU, 2)


def load(n_gpu_layers: int | str, path: Path | None = None, **options: Any) -> pyggml.Model:
    path = path or pyggml.demo_model()
    return pyggml.load(path, n_ctx=256, n_ubatch=32, n_threads=1, n_gpu_layers=n_gpu_layers, **options)


def greedy(model: pyggml.Model) -> str:
    sampling = pyggml.SamplingOptions(temperature=0.0)
    events = model.generate(STORY, sampling=sampling, max_tokens=20)
    return "".join(event.text for event in events if isinstance(event, pyggml.TextEvent))


def assert_same(model: pyggml.Model) -> None:
    """Every logit and state, and the text, are those of the CPU."""
    one = load(0)
    tokens = one.tokenize(STORY * 2)
    np.testing.assert_array_equal(model.logits(tokens), one.logits(tokens))
    for layer in (0, 1, 5, 8):
        np.testing.assert_array_equal(model.hidden_states(tokens[:9], layer), one.hidden_states(tokens[:9], layer))
    assert greedy(model) == greedy(one) != ""


@pytest.mark.parametrize("n_gpu_layers", [1, 3, 8, "all"])
def test_keys_and_values_in_main_memory(n_gpu_layers: int | str) -> None:
    model = load(n_gpu_layers, kv_offload=False)
    assert model.placement.reason.endswith("; keys and values stay in main memory")
    assert_same(model)


@pytest.mark.parametrize("n_gpu_layers", [0, 4, "all"])
@pytest.mark.parametrize(
    "overrides",
    [
        [("ffn_", "CPU")],
        [("ffn_(up|gate)", "CPU"), ("ffn_up", "CUDA1")],
        [(r"blk\.[2-6]\.attn", "CPU"), ("attn_output", "CUDA1")],
        [("output|token_embd", "CPU")],
        [("output_norm", "CUDA1")],
        [(r"blk\.7", "CUDA0"), (r"blk\.1\.", "CPU")],
        [("", "CPU")],
        [("", "CUDA1")],
    ],
    ids=str,
)
def test_weights_elsewhere(n_gpu_layers: int | str, overrides: list[tuple[str, str]]) -> None:
    assert_same(load(n_gpu_layers, override_tensor=overrides))


TENSORS = sorted(name for name in GGUFFile.open(pyggml.demo_model()).tensors if "bias" not in name)


@settings(max_examples=15, deadline=None)
@given(
    devices=st.lists(st.sampled_from(["CPU", "CUDA0", "CUDA1"]), min_size=len(TENSORS), max_size=len(TENSORS)),
    n_gpu_layers=st.integers(0, 9),
    kv_offload=st.booleans(),
)
def test_every_weight_anywhere(devices: list[str], n_gpu_layers: int, kv_offload: bool) -> None:
    overrides = [(f"^{name}$".replace(".", r"\."), device) for name, device in zip(TENSORS, devices, strict=True)]
    model, one = load(n_gpu_layers, override_tensor=overrides, kv_offload=kv_offload), load(0)
    tokens = one.tokenize(STORY)
    np.testing.assert_array_equal(model.logits(tokens), one.logits(tokens))


def test_biases_and_other_shapes(tmp_path: Path) -> None:
    path = tmp_path / "random.gguf"
    random_model(path, RandomModel("qwen2", n_layers=3))
    one = load(0, path)
    for options in ({"kv_offload": False}, {"override_tensor": [("attn_q|ffn_down|output", "CPU")]}):
        model = load("all", path, **options)
        np.testing.assert_array_equal(model.logits(range(1, 40)), one.logits(range(1, 40)))


def test_steps_of_several_sequences_and_sessions(tmp_path: Path) -> None:
    results = []
    cases: list[tuple[int, dict[str, Any]]] = [
        (0, {}),
        (5, {"kv_offload": False}),
        (9, {"kv_offload": False, "override_tensor": [("ffn", "CUDA1")]}),
    ]
    for number, (n, options) in enumerate(cases):
        model = load(n, n_sequences=3, **options)
        engine, tokens = model.engine, model.tokenize(STORY)
        a, b = engine.new_sequence(), engine.new_sequence()
        rows = [engine.step([Part(a, 0, tokens[:20], [3, 19]), Part(b, 0, tokens[5:15], [])]).copy()]
        rows.append(engine.step([Part(a, 20, tokens[:1], []), Part(b, 10, tokens[:1], [])]).copy())
        branch = a.fork()
        rows.append(engine.step([Part(branch, 10, tokens[:3], [2])]).copy())
        engine.discard(a, 4, 9, 21)
        rows.append(engine.step([Part(a, 12, tokens[:5], [4])]).copy())
        session = model.session()
        sampler = Sampler(pyggml.SamplingOptions(temperature=0.0), model.tokenizer)
        list(session.generate(tokens, sampler, pyggml.GenerationOptions(max_tokens=4)))
        session.save(tmp_path / str(number))
        results.append((rows, (tmp_path / str(number)).read_bytes()))
    for rows, saved in results[1:]:
        assert saved == results[0][1]
        for expected, found in zip(results[0][0], rows, strict=True):
            np.testing.assert_array_equal(found, expected)


def test_observers_see_the_same_rows() -> None:
    results = []
    for model in (load(0), load(0, override_tensor=[("ffn_|attn_q", "CUDA1")])):
        observer = model.engine.observer(model.engine.matrix_names)
        tokens = model.tokenize(STORY)[:32]
        model.engine.step([Part(model.engine.new_sequence(), 0, tokens, range(len(tokens)))], observer=observer)
        results.append({name: (sums.squares.tobytes(), sums.count.tobytes()) for name, sums in observer.sums.items()})
    assert results[0] == results[1]


def test_operations_go_where_their_weights_are_in_as_few_pieces_as_can_be() -> None:
    model = load("all", override_tensor=[("ffn_", "CPU")])
    inner: list[Graph] = []

    def compiled(backend: Backend, graph: Graph) -> Any:
        inner.append(graph)

    weights = model.engine._weights
    graph = Graph()
    table = model.placement.layers[0].table(np.zeros(4 * 32, np.uint8), 0, 1, 32)
    x = graph.embed(table)
    layer = weights.layers[0]
    h = graph.rms_norm(x, layer.ffn_norm, 1e-6)
    up = graph.swiglu(graph.linear(h, layer.ffn_gate), graph.linear(h, layer.ffn_up))
    graph.add(x, graph.linear(up, layer.ffn_down))
    (override,) = model.placement.overrides
    cut = delegate(
        graph, lambda node: override.store if override.holds(getattr(node, "weight", None)) else None, compiled
    )
    assert [type(node).__name__ for node in cut.nodes] == ["Embed", "Elsewhere", "Add"]
    assert [[type(node).__name__ for node in each.nodes] for each in inner] == [
        ["Receive", "RMSNorm", "Linear", "Linear", "SwiGLU", "Linear"]
    ]
    elsewhere = cut.nodes[1]
    assert isinstance(elsewhere, Elsewhere)
    assert [value.index for value in elsewhere.inputs] == [0]


def test_what_weights_elsewhere_leave_room_for(gpus: Any) -> None:
    file = GGUFFile.open(pyggml.demo_model())
    config = DecoderConfig.from_file(file, architecture_of(file))
    shape = cache_shape(config, 512, ("f16", "f16"))
    whole = gpu_needs(file, config, FORMATS, shape, 32)
    needs = gpu_needs(file, config, FORMATS, shape, 32, [("ffn_", "CPU"), ("attn_q", "CUDA1")])
    assert all(less < more / 2 for less, more in zip(needs.layers[:-1], whole.layers[:-1], strict=True))
    assert needs.layers[-1] == whole.layers[-1]
    batch = gpu_needs(file, config, FORMATS, shape, 32, [("no such tensor", "CUDA1")]).overriding["CUDA1"]
    assert 0 < needs.overriding["CUDA1"] - batch < sum(whole.layers) - sum(needs.layers)
    without_cache = gpu_needs(file, config, FORMATS, None, 32)
    assert without_cache.layers[0] == whole.layers[0] - 512 * config.n_kv_heads * config.key_size * 4
    gpus.free_bytes = lambda number: whole.of(4) + MARGIN
    assert load("auto", devices=["CUDA0"], op_offload=False).placement.n_on_gpu == 4
    assert load("auto", devices=["CUDA0"], override_tensor=[("ffn_", "CPU")]).placement.n_on_gpu > 4
    taken = gpu_needs(file, config, FORMATS, shape, 32, [("ffn_", "CUDA1")]).overriding["CUDA1"]
    gpus.free_bytes = lambda number: whole.of(4) + MARGIN + taken // 2
    assert load("auto", devices=["CUDA1"], override_tensor=[("ffn_", "CUDA1")]).placement.n_on_gpu < 9


def test_caches_in_main_memory_have_any_type() -> None:
    assert load("all", kv_offload=False, cache_type_k="q8_0").placement.n_on_gpu == 9


def test_overrides_that_cannot_be(gpus: Any) -> None:
    with pytest.raises(UsageError, match="override_tensor names 'CUDA2'; allowed are CPU, CUDA0, CUDA1"):
        load("all", override_tensor=[("ffn", "CUDA2")])
    with pytest.raises(UsageError, match=r"override_tensor has 'ffn\(', which is no regular expression: missing \)"):
        load(0, override_tensor=[("ffn(", "CPU")])
    gpus.unavailable = lambda: "the CUDA driver finds no GPU"
    with pytest.raises(UsageError, match="override_tensor names 'CUDA0'; the CUDA driver finds no GPU"):
        load(0, override_tensor=[("ffn", "CUDA0")])
