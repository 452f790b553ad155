"""Where activations are converted to what weights want: once for all products that share them, not for floats."""

import numpy as np
import pytest

from pyggml.backend.cpu.quantization import Convert, QuantizedForm, RoundedForm, form_for, insert_conversions
from pyggml.backend.cpu.weights import CPUWeight, place_matrix, place_table, place_vector
from pyggml.backend.graph import Graph, Linear
from pyggml_kernels import activations
from pyggml_kernels.formats import format_named
from pyggml_kernels.threads import WorkerPool
from pyggml_reference import quants


def weight(name: str, n_rows: int = 3, n_columns: int = 256) -> CPUWeight:
    form = format_named(name)
    data = np.zeros(n_rows * form.row_bytes(n_columns), np.uint8)
    return place_matrix(data, form, n_rows, n_columns, WorkerPool(1))


def test_one_conversion_serves_all_products_that_want_it() -> None:
    graph = Graph()
    x = graph.embed(weight("F32"))
    # Q8_0 twice, Q8_K in groups of 32 and of 16, F16, nothing, and Q8_0 of another value.
    outputs = [graph.linear(x, weight(name)) for name in ("Q4_0", "Q8_0", "Q4_K", "Q6_K", "F16", "F32")]
    other = graph.rms_norm(x, weight("F32", 1), 1e-5)
    graph.linear(other, weight("Q8_0"))
    before = list(graph.nodes)
    nodes = insert_conversions(graph.nodes)
    assert graph.nodes == before
    assert [type(node).__name__ for node in nodes] == [
        "Embed",
        *("Convert", "Linear", "Linear"),
        *("Convert", "Linear"),
        *("Convert", "Linear"),
        *("Convert", "Linear"),
        "Linear",
        "RMSNorm",
        *("Convert", "Linear"),
    ]
    converted = [node for node in nodes if isinstance(node, Convert)]
    assert [node.x for node in converted] == [x, x, x, x, other]
    forms = [node.form for node in converted]
    assert forms[:4] == [
        QuantizedForm(activations.quantize_q8_0, 32, 32),
        QuantizedForm(activations.quantize_q8_k, 256, 32),
        QuantizedForm(activations.quantize_q8_k, 256, 16),
        RoundedForm(activations.round_f16),
    ]
    read = [node.x for node in nodes if isinstance(node, Linear)]
    values = [node.output for node in converted]
    assert read == [values[0], values[0], values[1], values[2], values[3], x, values[4]]
    assert [node.output for node in nodes if isinstance(node, Linear)][:6] == outputs
    indices = [node.output.index for node in nodes]
    assert len(set(indices)) == len(indices)
    # Levels, 8 bytes for each block and 2 for each group; floats.
    assert [value.row_bytes for value in values[:4]] == [256 + 64 + 16, 256 + 8 + 16, 256 + 8 + 32, 1024]
    assert all(value.rows == "tokens" for value in values)


def test_nothing_is_converted_for_floats() -> None:
    graph = Graph()
    x = graph.embed(weight("F32"))
    graph.linear(graph.linear(x, weight("F32")), weight("F32", n_columns=3))
    assert insert_conversions(graph.nodes) == graph.nodes


@pytest.mark.parametrize("name", ["F16", "BF16", "Q4_1", "Q5_1", "Q5_0", "IQ4_NL", "IQ4_XS", "Q2_K", "Q3_K"])
def test_the_form_is_that_of_ggml(name: str) -> None:
    form = form_for(weight(name))
    assert form is not None
    wanted = quants.vec_dot_type(format_named(name).type_id).name.casefold()
    assert form.kernel.name in (f"quantize_{wanted}", f"round_{wanted}")


def test_weights_of_another_device_are_refused() -> None:
    class Elsewhere:
        n_rows, n_columns = 3, 256

    graph = Graph()
    graph.linear(graph.embed(weight("F32")), Elsewhere())
    with pytest.raises(TypeError, match="a CPU plan needs weights placed on the CPU"):
        insert_conversions(graph.nodes)


def test_tables_stay_where_they_are_and_vectors_become_floats() -> None:
    data = np.arange(4 * 34, dtype=np.uint8)
    table = place_table(data, format_named("Q8_0"), 4, 32)
    assert table.address == data.ctypes.data
    assert (table.stride, table.tile_bytes, table.n_rows, table.n_columns) == (34, 0, 4, 32)
    halves = np.array([1.5, -2.0, 0.1], np.float16)
    vector = place_vector(halves.view(np.uint8), format_named("F16"), 3)
    assert vector.format.name == "F32"
    np.testing.assert_array_equal(vector.data.view(np.float32), halves.astype(np.float32))


def test_matrices_are_tiles_where_the_format_has_some() -> None:
    # Two tiles of 17 rows: 32 levels and a half for each row, also for those that are not there.
    tiles = weight("Q8_0", n_rows=17, n_columns=64)
    assert (tiles.tile_bytes, tiles.data.size) == (16 * 2 * 34, 2 * 16 * 2 * 34)
    assert tiles.address % 64 == 0
    assert weight("F16", n_rows=3, n_columns=5).tile_bytes == 16 * 5 * 2
    rows = weight("IQ3_S", n_rows=3)
    assert (rows.tile_bytes, rows.stride) == (0, 110)
