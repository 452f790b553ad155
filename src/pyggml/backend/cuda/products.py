"""Matrix products: which kernel, or cuBLAS, for which format and batch."""

from collections.abc import Sequence

from pyggml.backend import graph as g
from pyggml.backend.cuda.activations import activation
from pyggml.backend.cuda.memory import Addresses, Buffer, Operation
from pyggml.backend.cuda.weights import cuda_weight
from pyggml_cuda import device, matmul, matmul_wide, trial
from pyggml_cuda.formats import BFLOATS, Form, RowFormat, TileFormat, WideForm


def input_form(node: g.Linear, n_rows: int) -> Form | WideForm:
    """The form that a product takes its input in."""
    return _wide_form(node, n_rows) or cuda_weight(node.weight).format.form


def _wide_form(node: g.Linear, n_rows: int) -> WideForm | None:
    """The form that its product by warpgroups takes; None if there is a better way."""
    form = cuda_weight(node.weight).format
    wide = matmul_wide.wide_form(form, n_rows, device.compute_capability())
    return wide if isinstance(form, TileFormat) and wide and trial.wide_products_agree(form) else None


def multiply(
    nodes: Sequence[g.Linear], x: Buffer, addend: Buffer | None, outputs: Sequence[Buffer], n_rows: int
) -> Operation:
    """Products of one input `x`, in the form of their weights' format, with up to three matrices; the addend belongs to
    a single one."""
    form = cuda_weight(nodes[0].weight).format
    reads = (x,) if addend is None else (x, addend)
    if isinstance(form, TileFormat) and _wide_form(nodes[0], n_rows):
        sizes = [node.weight.n_rows for node in nodes]
        parts = Buffer(matmul_wide.parts_bytes(form, sizes, n_rows, nodes[0].weight.n_columns))
        return Operation(
            reads, (*outputs, parts), lambda at: _by_warpgroups(nodes, x, addend, outputs, parts, n_rows, at)
        )
    by_cublas = matmul.is_for_cublas(form, n_rows, device.compute_capability())
    build = _by_cublas if by_cublas else _by_kernel
    return Operation(reads, tuple(outputs), lambda at: build(nodes, x, addend, outputs, n_rows, at), not by_cublas)


def _matrices(
    nodes: Sequence[g.Linear], addend: Buffer | None, outputs: Sequence[Buffer], at: Addresses
) -> list[matmul.Matrix]:
    return [
        matmul.Matrix(
            weights=cuda_weight(node.weight).address,
            n_rows=node.weight.n_rows,
            output=at(output),
            bias=cuda_weight(node.bias).address if node.bias else 0,
            addend=at(addend) if addend else 0,
        )
        for node, output in zip(nodes, outputs, strict=True)
    ]


def _by_kernel(
    nodes: Sequence[g.Linear],
    x: Buffer,
    addend: Buffer | None,
    outputs: Sequence[Buffer],
    n_rows: int,
    at: Addresses,
) -> device.Action:
    form, n_columns = cuda_weight(nodes[0].weight).format, nodes[0].weight.n_columns
    rows = activation(form.form, n_rows, n_columns, at(x))
    matrices = _matrices(nodes, addend, outputs, at)
    launch = matmul.multiply(form, matrices, rows, n_rows, n_columns, device.compute_capability())
    return device.launching(launch)


def _by_warpgroups(
    nodes: Sequence[g.Linear],
    x: Buffer,
    addend: Buffer | None,
    outputs: Sequence[Buffer],
    parts: Buffer,
    n_rows: int,
    at: Addresses,
) -> device.Action:
    form, n_columns, wide = cuda_weight(nodes[0].weight).format, nodes[0].weight.n_columns, _wide_form(nodes[0], n_rows)
    if not isinstance(form, TileFormat) or wide is None:
        raise TypeError("warpgroups multiply tiles")
    rows = activation(wide, n_rows, n_columns, at(x))
    matrices = _matrices(nodes, addend, outputs, at)
    launches = matmul_wide.multiply(form, matrices, rows, n_rows, n_columns, at(parts))
    actions = [device.launching(each) for each in launches]
    return lambda stream: device.run(actions, stream)


def _by_cublas(
    nodes: Sequence[g.Linear],
    x: Buffer,
    addend: Buffer | None,
    outputs: Sequence[Buffer],
    n_rows: int,
    at: Addresses,
) -> device.Action:
    form, n_columns = cuda_weight(nodes[0].weight).format, nodes[0].weight.n_columns
    if not isinstance(form, RowFormat):
        raise TypeError("cuBLAS multiplies floats")
    actions: list[device.Action] = []
    for each in _matrices(nodes, addend, outputs, at):
        is_bfloat = form.form == BFLOATS
        sizes = (each.n_rows, n_columns, n_rows)
        actions.append(device.multiplying(each.weights, at(x), each.output, form.number_bytes, is_bfloat, *sizes))
        if each.bias or each.addend:
            finish = matmul.finish(each.output, each.bias, each.addend, each.n_rows, each.n_rows * n_rows)
            actions.append(device.launching(finish))
    return lambda stream: device.run(actions, stream)
