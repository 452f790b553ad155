"""Rows on their way into products: each is computed where its first form is wanted, and kept in the forms it took."""

from collections.abc import Callable
from dataclasses import dataclass

from pyggml.backend.cuda.memory import Addresses, Buffer, Operation
from pyggml.backend.graph import Value
from pyggml_cuda import device
from pyggml_cuda.convert import Source, convert
from pyggml_cuda.formats import FLOATS, Form, WideForm
from pyggml_cuda.matmul import Activation


@dataclass(frozen=True)
class Pending:
    """Rows that a conversion is going to compute."""

    reads: tuple[Buffer, ...]
    source: Callable[[Addresses], Source]


def form_bytes(form: Form | WideForm, n_rows: int, n_columns: int) -> int:
    """Bytes of rows in a form: levels, scales, sums."""
    sizes = form.strides(n_rows, n_columns)
    return sizes.level_bytes + sizes.scale_bytes + sizes.sum_bytes


def activation(form: Form | WideForm, n_rows: int, n_columns: int, address: int) -> Activation:
    """Where levels, scales and sums of rows at an address lie."""
    sizes = form.strides(n_rows, n_columns)
    scales = address + sizes.level_bytes
    sums = scales + sizes.scale_bytes
    return Activation(address, scales, sums, sizes.level_stride, sizes.scale_stride, sizes.sum_stride)


class Activations:
    """The values of a graph so far, and the operations that make them."""

    def __init__(self, operations: list[Operation]) -> None:
        self._operations = operations
        self._pending: dict[int, Pending] = {}
        self._forms: dict[tuple[int, Form | WideForm], Buffer] = {}

    def set_floats(self, value: Value, buffer: Buffer) -> None:
        """Floats that some operation writes."""
        self._forms[value.index, FLOATS] = buffer

    def set_pending(self, value: Value, pending: Pending) -> None:
        """Rows that are computed in the forms they are wanted in."""
        self._pending[value.index] = pending

    def floats(self, value: Value, n_rows: int) -> Buffer:
        """The value as floats."""
        return self.form(value, FLOATS, n_rows)

    def form(self, value: Value, form: Form | WideForm, n_rows: int) -> Buffer:
        """The value in a form; the first call adds the operation that converts it."""
        key = value.index, form
        if key not in self._forms:
            pending = self._pending.get(value.index) or self._plain(value)
            self._forms[key] = self._convert(pending, form, n_rows, value.n_columns)
        return self._forms[key]

    def _plain(self, value: Value) -> Pending:
        floats = self._forms[value.index, FLOATS]
        return Pending((floats,), lambda at: Source("Plain", value.n_columns, at(floats)))

    def _convert(self, pending: Pending, form: Form | WideForm, n_rows: int, n_columns: int) -> Buffer:
        out = Buffer(form_bytes(form, n_rows, n_columns))

        def build(at: Addresses) -> device.Action:
            target = activation(form, n_rows, n_columns, at(out))
            return device.launching(convert(pending.source(at), form, target, n_rows))

        self._operations.append(Operation(pending.reads, (out,), build))
        return out
