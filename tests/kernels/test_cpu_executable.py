"""A small decoder on the CPU backend: its numbers, the same bits in every batch, and what becomes of its plans."""

import signal
import weakref
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyggml.backend.cpu import CPUBackend
from pyggml.backend.graph import Graph
from pyggml.backend.protocol import CacheShape, Step
from pyggml_kernels.formats import FORMATS, Format
from pyggml_kernels.plan import Plan
from pyggml_kernels.threads import available_cores
from pyggml_reference import operations
from tests.kernels.calling import MAX_NMSE, nmse, random_weights
from tests.kernels.comparing import assert_same_bits
from tests.kernels.ordered_operations import repeat_until_ctrl_c
from tests.kernels.small_decoder import N_BATCH, N_PAGES, N_SEQUENCES, N_VOCAB, PAGE_SIZE, Decoder, Part, Runner

TEXT = np.random.default_rng(1).integers(0, N_VOCAB, N_PAGES * PAGE_SIZE // N_SEQUENCES).tolist()
sizes = st.lists(st.integers(1, N_BATCH), min_size=1, max_size=6)


@pytest.fixture(scope="module", params=[True, False], ids=["neox", "norm"])
def decoder(request: pytest.FixtureRequest) -> Decoder:
    return Decoder("F32", request.param)


@pytest.fixture(scope="module")
def runner(decoder: Decoder) -> Runner:
    return Runner(decoder)


@settings(max_examples=12, deadline=None)
@given(sizes=sizes, sequence=st.integers(0, N_SEQUENCES - 1))
def test_logits_are_those_of_float64_in_batches_of_any_size(
    decoder: Decoder, runner: Runner, sizes: list[int], sequence: int
) -> None:
    found = runner.read(TEXT, sizes, sequence)
    assert nmse(found, decoder.exact_logits(TEXT)) <= 1e-10


@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_sequences_side_by_side_do_not_see_each_other(decoder: Decoder, runner: Runner, data: st.DataObject) -> None:
    generator = np.random.default_rng(data.draw(st.integers(0, 99)))
    n_sequences = data.draw(st.integers(1, N_SEQUENCES))
    texts = [generator.permutation(TEXT).tolist() for _ in range(n_sequences)]
    exact = [decoder.exact_logits(text) for text in texts]
    done = [0] * n_sequences
    while any(n < len(text) for n, text in zip(done, texts, strict=True)):
        parts, wanted = [], []
        for sequence in generator.permutation(n_sequences).tolist():
            left = len(texts[sequence]) - done[sequence]
            if not left:
                continue
            n = min(left, data.draw(st.integers(1, N_BATCH // n_sequences)))
            start = done[sequence]
            outputs = [i for i in range(n) if generator.random() < 0.5]
            parts.append(Part(sequence, start, texts[sequence][start : start + n], outputs))
            wanted += [exact[sequence][start + i] for i in outputs]
            done[sequence] += n
        found = runner.run(parts)
        assert found.shape == (len(wanted), N_VOCAB)
        if wanted:
            assert nmse(found, np.array(wanted)) <= MAX_NMSE


MIXES = ["F32", "F16", "BF16", "Q4_0", "Q4_1", "Q8_0", "Q3_K", "Q4_K", "Q6_K", "IQ4_XS"]


@pytest.fixture(scope="module", params=zip(MIXES, ["f32", "f16", "bf16", "q8_0"] * 3, strict=False), ids="-".join)
def runners(request: pytest.FixtureRequest) -> list[Runner]:
    """The same decoder with pools of several sizes."""
    name, cache_format = request.param
    decoder = Decoder(name, True)
    return [Runner(decoder, n_threads=n, cache_format=cache_format) for n in (1, 2, 5)]


@settings(max_examples=6, deadline=None)
@given(sizes=sizes, sequence=st.integers(0, N_SEQUENCES - 1))
def test_a_text_gives_the_same_bits_in_any_batches_with_any_threads(
    runners: list[Runner], sizes: list[int], sequence: int
) -> None:
    one_by_one = runners[0].read(TEXT, [1])
    assert np.isfinite(one_by_one).all()
    for each in runners:
        assert_same_bits(each.read(TEXT, sizes, sequence), one_by_one)


@pytest.mark.parametrize("form", FORMATS.values(), ids=lambda each: each.name)
@settings(max_examples=5, deadline=None)
@given(n_rows=st.integers(8, 200), n_blocks=st.integers(1, 3), n_threads=st.integers(1, 3), data=st.data())
def test_embeddings_and_products_are_those_of_ggml(
    form: Format, n_rows: int, n_blocks: int, n_threads: int, data: st.DataObject
) -> None:
    # Several runs: plans for other shapes follow in the same memory.
    n_columns = n_blocks * 256
    generator = np.random.default_rng(n_rows)
    table, matrix = (random_weights(form, generator, n, n_columns) for n in (N_VOCAB, n_rows))
    backend = CPUBackend(n_threads, N_BATCH, 1)
    graph = Graph()
    x = graph.embed(backend.table(table.reshape(-1), form.type_id, N_VOCAB, n_columns))
    graph.linear(graph.select_outputs(x), backend.matrix(matrix.reshape(-1), form.type_id, n_rows, n_columns))
    executable = backend.compile(graph, backend.cache(CacheShape(1, 1, 32, 32, 1, 1, "f32", "f32")))
    for _ in range(3):
        n = data.draw(st.integers(1, N_BATCH))
        outputs = generator.integers(0, n, data.draw(st.integers(1, n))).astype(np.int32)
        tokens, zeros = generator.integers(0, N_VOCAB, n).astype(np.int32), np.zeros(n, np.int32)
        found = executable.run(Step(tokens, zeros, zeros, np.zeros((1, 1), np.int32), outputs))
        rows = operations.get_rows(form.type_id, table, tokens[outputs], n_columns)
        assert nmse(found, operations.mul_mat(form.type_id, matrix, rows)) <= MAX_NMSE


def test_rows_are_not_looked_up_in_tiles() -> None:
    backend = CPUBackend(1, N_BATCH, 1)
    graph = Graph()
    graph.embed(backend.matrix(np.zeros(4 * 16 * 32, np.uint8), 0, 16, 32))
    executable = backend.compile(graph, backend.cache(CacheShape(1, 1, 32, 32, 1, 1, "f32", "f32")))
    zeros = np.zeros(1, np.int32)
    with pytest.raises(TypeError, match="rows are looked up in a table, and this weight was placed as a matrix"):
        executable.run(Step(zeros, zeros, zeros, np.zeros((1, 1), np.int32), zeros))


def test_tokens_without_outputs_go_into_the_cache(decoder: Decoder, runner: Runner) -> None:
    text = TEXT[::-1]
    assert runner.run([Part(0, 0, text[:9], [])]).shape == (0, N_VOCAB)
    assert runner.run([Part(0, 9, text[9:10], [])]).shape == (0, N_VOCAB)
    found = runner.run([Part(0, 10, text[10:20], [9, 0])])
    assert nmse(found, decoder.exact_logits(text)[[19, 10]]) <= MAX_NMSE


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> list[weakref.ref[Plan]]:
    """Those that the backend makes."""
    made: list[weakref.ref[Plan]] = []

    class Recorded(Plan):
        def __init__(self, *arguments: object, **options: object) -> None:
            super().__init__(*arguments, **options)  # type: ignore[arg-type]  # passed on as they come
            made.append(weakref.ref(self))

    monkeypatch.setattr("pyggml.backend.cpu.backend.Plan", Recorded)
    return made


def test_plans_are_kept_for_the_shapes_used_last(
    plans: list[weakref.ref[Plan]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pyggml.backend.cpu.backend._MAX_PLANS", 8)
    runner = Runner(Decoder("F32", True), n_threads=1)

    def read(n: int) -> None:
        runner.run([Part(0, 0, TEXT[:n], [0])])

    read(N_BATCH)  # the arena has room for all others from here on
    for n in range(1, 8):
        read(n)
    assert len(plans) == 8
    for n in (N_BATCH, 3, 1):
        read(n)
    assert len(plans) == 8, "a shape that is known takes no new plan"
    read(9)
    assert len(plans) == 9
    assert sum(plan() is not None for plan in plans) == 8, "the one that was not used for longest is dropped"
    for n in (N_BATCH, 1, 3, 4, 5, 6, 7, 9):
        read(n)
    assert len(plans) == 9
    read(2)
    assert len(plans) == 10


def test_results_stay_the_same_when_plans_are_dropped_and_memory_grows(decoder: Decoder) -> None:
    runner = Runner(decoder)
    exact = decoder.exact_logits(TEXT)
    for n in [1, 3, *range(N_BATCH, 0, -1), *range(1, N_BATCH + 1), 1]:
        outputs = range(n // 3, n)
        assert nmse(runner.run([Part(1, 0, TEXT[:n], outputs)]), exact[list(outputs)]) <= MAX_NMSE


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs an operating system with timers that interrupt")
@pytest.mark.parametrize("n_threads", [1, 4])
def test_a_run_that_ctrl_c_broke_off_does_no_harm_to_the_next(decoder: Decoder, n_threads: int) -> None:
    runner = Runner(decoder, n_threads=n_threads)
    expected = runner.read(TEXT, [N_BATCH])
    for n in range(1, N_BATCH):
        # All kernels are loaded before: Numba does not bear to be interrupted meanwhile.
        runner.run([Part(1, 0, TEXT[:n], [])])
        runner.read(TEXT[:-1], [N_BATCH])
        repeat_until_ctrl_c(partial(runner.run, [Part(1, 0, TEXT[:n], [])]), 1e-4 * n)
        found = runner.run([Part(0, len(TEXT) - 1, TEXT[-1:], [0])])
        assert_same_bits(found, expected[-1:])


def test_a_backend_takes_all_cores_unless_told_otherwise() -> None:
    assert CPUBackend(None, 1, 1).n_threads == available_cores()
    assert CPUBackend(3, 1, 1).n_threads == 3


def test_what_lies_elsewhere_is_refused() -> None:
    backend = CPUBackend(1, 1, 1)
    decoder = Decoder("F32", True)

    class Elsewhere:
        shape = CacheShape(1, 1, 8, 8, 1, 1, "f32", "f32")
        n_rows, n_columns = 1, 8

    with pytest.raises(TypeError, match="a CPU plan needs a cache on the CPU"):
        backend.compile(decoder.graph(backend), Elsewhere())  # type: ignore[arg-type]  # that is the point
    graph = Graph()
    graph.embed(Elsewhere())
    with pytest.raises(TypeError, match="a CPU plan needs weights placed on the CPU"):
        backend.compile(graph, backend.cache(Elsewhere.shape))
