"""Activations take the form that the weights' format is multiplied with, once for all products that share them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pyggml.backend.cpu.weights import CPUWeight
from pyggml.backend.graph import Linear, Node, Rows, Value
from pyggml_kernels import activations
from pyggml_kernels.formats import LevelFormat
from pyggml_kernels.jit import Kernel

_QUANTIZE = {
    "Q8_0": (activations.quantize_q8_0, 32),
    "Q8_1": (activations.quantize_q8_1, 32),
    "Q8_K": (activations.quantize_q8_k, 256),
}
_ROUND = {"F16": activations.round_f16, "BF16": activations.round_bf16}


@dataclass(frozen=True)
class QuantizedForm:
    """Levels, then scales and shifts of blocks, then sums of groups, each as one array over all rows."""

    kernel: Kernel
    block_size: int
    group_size: int

    def row_bytes(self, n_columns: int) -> int:
        """Bytes for a row."""
        return n_columns + 8 * (n_columns // self.block_size) + 2 * (n_columns // self.group_size)

    def arrays(self, address: int, n_rows: int, n_columns: int) -> tuple[int, int, int, int]:
        """Where the levels, scales, shifts and sums of so many rows begin."""
        scales = address + n_rows * n_columns
        shifts = scales + n_rows * (n_columns // self.block_size) * 4
        return address, scales, shifts, shifts + n_rows * (n_columns // self.block_size) * 4


@dataclass(frozen=True)
class RoundedForm:
    """Floats that a 16-bit format holds exactly."""

    kernel: Kernel

    def row_bytes(self, n_columns: int) -> int:
        """Bytes for a row of floats."""
        return 4 * n_columns


Form = QuantizedForm | RoundedForm


@dataclass(frozen=True)
class Convert(Node):
    """An activation in the form that some weights want."""

    x: Value
    form: Form


def form_for(weight: CPUWeight) -> Form | None:
    """What the other operand of a product with this weight has to be; None for plain floats."""
    if isinstance(weight.format, LevelFormat):
        return QuantizedForm(*_QUANTIZE[weight.format.activation], weight.format.group_size)
    kernel = _ROUND.get(weight.format.activation)
    return RoundedForm(kernel) if kernel else None


def insert_conversions(nodes: Sequence[Node]) -> list[Node]:
    """The same operations with a `Convert` before the first product that needs it, which then reads its output."""
    converted: dict[tuple[int, Form], Value] = {}
    result: list[Node] = []
    free_index = len(nodes)
    for node in nodes:
        if not isinstance(node, Linear) or (form := _form(node)) is None:
            result.append(node)
            continue
        key = (node.x.index, form)
        if key not in converted:
            rows: Rows = node.x.rows
            converted[key] = Value(free_index, rows, form.row_bytes(node.x.n_columns))
            result.append(Convert(converted[key], node.x, form))
            free_index += 1
        result.append(replace(node, x=converted[key]))
    return result


def _form(node: Linear) -> Form | None:
    if not isinstance(node.weight, CPUWeight):
        raise TypeError("a CPU plan needs weights placed on the CPU")
    return form_for(node.weight)
