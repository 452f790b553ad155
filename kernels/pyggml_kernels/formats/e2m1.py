"""E2M1, the 4-bit float of MXFP4 and NVFP4: sign, 2 bits of exponent, 1 of mantissa; 0, 0.5, 1, 1.5, 2, 3, 4 and 6.

Levels are twice the numbers, which makes them integers. OCP Microscaling Formats (MX) Specification 1.0, section 5.3.3.
"""

from typing import Any

from pyggml_kernels.formats.signs import negate
from pyggml_kernels.formats.words import bits, raise_bits
from pyggml_kernels.jit import device


@device
def doubled(codes: Any) -> Any:
    """Twice the numbers of eight codes, each in the low half of a byte of a word whose high halves are zero."""
    mantissa, low, high = bits(codes, 0, 1), bits(codes, 1, 1), bits(codes, 2, 1)
    # Codes 0 to 4 are their own magnitudes; then come 6, 8 and 12, which are 1, 2 and 5 more than the code.
    both = high & low
    magnitude = bits(codes, 0, 7) + (high & mantissa) + raise_bits(both, 1) + raise_bits(both & mantissa, 1)
    return negate(magnitude, bits(codes, 3, 1))
