"""Sums over rows, and observers in a graph."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pyggml.backend.cpu import CPUBackend
from pyggml.backend.cpu.observation import lower_observation
from pyggml.backend.graph import Graph, Linear, Node, Value
from pyggml.backend.observation import ColumnSums, Observe, Observer
from pyggml_kernels import column_sums
from tests.kernels.calling import Floats, address, call, guarded, normals
from tests.kernels.comparing import assert_same_bits


def observe(x: Floats, sums: ColumnSums, columns_per_chunk: int, seed: int) -> None:
    """Run the kernel, chunks in any order."""
    n_rows, n_columns = x.shape
    words = {0: address(x), 1: n_rows, 2: n_columns, 6: columns_per_chunk}
    words |= {3: address(sums.values), 4: address(sums.squares), 5: address(sums.count)}
    call(column_sums.add_columns, words, -(-n_columns // columns_per_chunk), seed=seed)


@settings(max_examples=60, deadline=None)
@given(
    n_rows=st.lists(st.integers(0, 40), min_size=1, max_size=3),
    n_columns=st.integers(1, 300),
    columns_per_chunk=st.integers(1, 100),
    seed=st.integers(0, 2**32 - 1),
)
def test_rows_are_added_in_order_and_rounded_each_time(
    n_rows: list[int], n_columns: int, columns_per_chunk: int, seed: int
) -> None:
    values, squares = guarded((1, n_columns)), guarded((1, n_columns))
    values.array[:], squares.array[:] = 0, 0
    sums = ColumnSums(values.array[0], squares.array[0], np.zeros(1, np.int64))
    expected = np.zeros((2, n_columns), np.float32)
    generator = np.random.default_rng(seed)
    for n in n_rows:
        x = normals(generator, n, n_columns)
        observe(x, sums, columns_per_chunk, seed)
        for row in x:
            expected += np.stack([row, row * row])
    values.assert_intact()
    squares.assert_intact()
    assert_same_bits(np.stack([sums.values, sums.squares]), expected)
    assert sums.count.tolist() == [sum(n_rows)]


def test_too_few_rows_are_not_looked_at() -> None:
    node = Observe(Value(1, "tokens", 0), Value(0, "tokens", 4 * 100), ColumnSums.zeros(100), 16)
    assert lower_observation(node, 0, 15) == []
    (operation,) = lower_observation(node, 0, 16)
    assert operation.n_chunks == 2


def test_an_observer_stands_before_the_products_with_its_weights() -> None:
    backend = CPUBackend(1, 8, 1)
    matrices = [backend.matrix(np.zeros(4 * 6 * 6, np.uint8), 0, 6, 6) for _ in range(3)]
    graph = Graph()
    x = graph.linear(graph.embed(matrices[0]), matrices[0])
    graph.linear(graph.linear(x, matrices[1]), matrices[2])
    observer = Observer({"first": matrices[0], "last": matrices[2]}, 2)
    nodes = observer.insert(graph.nodes)
    kinds: list[type[Node]] = [type(node) for node in nodes]
    assert [kind.__name__ for kind in kinds] == ["Embed", "Observe", "Linear", "Linear", "Observe", "Linear"]
    assert len({node.output.index for node in nodes}) == len(nodes)
    for name, before, product in (("first", nodes[1], nodes[2]), ("last", nodes[4], nodes[5])):
        assert isinstance(before, Observe)
        assert isinstance(product, Linear)
        assert (before.x, before.sums, before.min_rows) == (product.x, observer.sums[name], 2)
