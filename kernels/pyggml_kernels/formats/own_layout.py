"""What a block of a format of one's own may look like in memory."""

from typing import Any

import numpy as np
import numpy.typing as npt

from pyggml_kernels.private_types import MAX_BLOCK

#: Kinds of NumPy's types: signed and unsigned integers, floats.
_KINDS = "iuf"
_LARGEST_NUMBER = 8


def checked_layout(layout: npt.DTypeLike) -> np.dtype[np.void]:
    """The layout as NumPy's structured dtype, of numbers and arrays of numbers that do not overlap, little-endian.

    Raises ValueError (field, what was found, what is allowed).
    """
    try:
        dtype = np.dtype(layout)
    except (TypeError, ValueError) as error:
        raise ValueError(f"the layout {layout!r} is no structured dtype of NumPy: {error}") from None
    if not dtype.fields:
        raise ValueError(
            f"the layout {dtype} has no fields; needed is a structured dtype such as "
            "[('scale', np.float16), ('codes', np.uint8, 16)]"
        )
    if not 0 < dtype.itemsize <= MAX_BLOCK:
        raise ValueError(f"the layout takes {dtype.itemsize} bytes; allowed are 1 to {MAX_BLOCK}")
    end, before = 0, ""
    for name, (field, offset, *_) in sorted(dtype.fields.items(), key=lambda item: item[1][1]):
        _check_field(name, field)
        if offset < end:
            raise ValueError(f"the field {name!r} of the layout begins at byte {offset}, within the field {before!r}")
        end, before = offset + field.itemsize, name
    return dtype


def _check_field(name: str, field: np.dtype[Any]) -> None:
    number = field.base
    # Not by "=", which means the order of this machine.
    is_little = number.byteorder == "|" or number == number.newbyteorder("<")
    if number.kind not in _KINDS or number.itemsize > _LARGEST_NUMBER or not is_little:
        raise ValueError(
            f"the field {name!r} of the layout has the type {number}; allowed are little-endian int8 to int64, "
            "uint8 to uint64, float16, float32, float64, and arrays of them"
        )
    if not name.isidentifier() or not field.itemsize:
        raise ValueError(f"the field {name!r} of the layout has no name that Python could read, or no bytes")
