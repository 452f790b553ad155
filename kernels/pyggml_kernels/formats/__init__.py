"""Block formats: one file each, registered here once."""

from collections.abc import Mapping
from types import MappingProxyType

from pyggml_kernels.formats.bf16 import BF16
from pyggml_kernels.formats.f16 import F16
from pyggml_kernels.formats.f32 import F32
from pyggml_kernels.formats.format import FloatFormat, Format, LevelFormat, NumberFormat
from pyggml_kernels.formats.iq1_m import IQ1_M
from pyggml_kernels.formats.iq1_s import IQ1_S
from pyggml_kernels.formats.iq2_s import IQ2_S
from pyggml_kernels.formats.iq2_xs import IQ2_XS
from pyggml_kernels.formats.iq2_xxs import IQ2_XXS
from pyggml_kernels.formats.iq3_s import IQ3_S
from pyggml_kernels.formats.iq3_xxs import IQ3_XXS
from pyggml_kernels.formats.iq4_nl import IQ4_NL
from pyggml_kernels.formats.iq4_xs import IQ4_XS
from pyggml_kernels.formats.mxfp4 import MXFP4
from pyggml_kernels.formats.nvfp4 import NVFP4
from pyggml_kernels.formats.own import OwnFormat, own_format
from pyggml_kernels.formats.q1_0 import Q1_0
from pyggml_kernels.formats.q2_0 import Q2_0
from pyggml_kernels.formats.q2_k import Q2_K
from pyggml_kernels.formats.q3_k import Q3_K
from pyggml_kernels.formats.q4_0 import Q4_0
from pyggml_kernels.formats.q4_1 import Q4_1
from pyggml_kernels.formats.q4_k import Q4_K
from pyggml_kernels.formats.q5_0 import Q5_0
from pyggml_kernels.formats.q5_1 import Q5_1
from pyggml_kernels.formats.q5_k import Q5_K
from pyggml_kernels.formats.q6_k import Q6_K
from pyggml_kernels.formats.q8_0 import Q8_0
from pyggml_kernels.formats.q8_1 import Q8_1
from pyggml_kernels.formats.q8_k import Q8_K
from pyggml_kernels.formats.tq1_0 import TQ1_0
from pyggml_kernels.formats.tq2_0 import TQ2_0

_ALL: tuple[Format, ...] = (
    *(F32, F16, BF16),
    *(Q4_0, Q4_1, Q5_0, Q5_1, Q8_0),
    *(Q2_K, Q3_K, Q4_K, Q5_K, Q6_K),
    *(IQ1_S, IQ1_M, IQ2_XXS, IQ2_XS, IQ2_S, IQ3_XXS, IQ3_S, IQ4_NL, IQ4_XS),
    *(TQ1_0, TQ2_0, Q1_0, Q2_0),
    *(MXFP4, NVFP4),
)

#: Every format of weights by its number in a GGUF file.
FORMATS: Mapping[int, Format] = MappingProxyType({each.type_id: each for each in _ALL})

#: Formats that only activations have, by ggml's number: no weights are stored in them.
ACTIVATION_FORMATS: Mapping[int, Format] = MappingProxyType({each.type_id: each for each in (Q8_1, Q8_K)})


def format_named(name: str) -> Format:
    """The format of that name, in upper or lower case; ValueError, which lists the names, if there is none."""
    for each in _ALL:
        if each.name.casefold() == name.casefold():
            return each
    known = ", ".join(each.name for each in _ALL)
    raise ValueError(f"no block format is named {name!r}; known: {known}")


__all__ = [
    "ACTIVATION_FORMATS",
    "BF16",
    "F16",
    "F32",
    "FORMATS",
    "IQ1_M",
    "IQ1_S",
    "IQ2_S",
    "IQ2_XS",
    "IQ2_XXS",
    "IQ3_S",
    "IQ3_XXS",
    "IQ4_NL",
    "IQ4_XS",
    "MXFP4",
    "NVFP4",
    "Q1_0",
    "Q2_0",
    "Q2_K",
    "Q3_K",
    "Q4_0",
    "Q4_1",
    "Q4_K",
    "Q5_0",
    "Q5_1",
    "Q5_K",
    "Q6_K",
    "Q8_0",
    "Q8_1",
    "Q8_K",
    "TQ1_0",
    "TQ2_0",
    "FloatFormat",
    "Format",
    "LevelFormat",
    "NumberFormat",
    "OwnFormat",
    "format_named",
    "own_format",
]
