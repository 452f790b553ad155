"""Which vector instructions are used: asked of the CPU once, or chosen by `PYGGML_SIMD`."""

import os
import platform
from functools import lru_cache

import llvmlite.binding

#: From the fastest to the one that every CPU has.
TIERS = ("avx512_vnni", "avx2", "portable")


def _has(tier: str, features: dict[str, bool]) -> bool:
    needed = {"avx512_vnni": ("avx512f", "avx512bw", "avx512vl", "avx512vnni"), "avx2": ("avx2",), "portable": ()}
    return all(features.get(each) for each in needed[tier])


@lru_cache(maxsize=1)
def available_tiers() -> tuple[str, ...]:
    """The tiers that this CPU can run, the fastest first."""
    features = dict(llvmlite.binding.get_host_cpu_features())
    return tuple(each for each in TIERS if _has(each, features))


@lru_cache(maxsize=1)
def tier() -> str:
    """The tier in use; ValueError if `PYGGML_SIMD` names one that this CPU does not have."""
    chosen = os.environ.get("PYGGML_SIMD") or available_tiers()[0]
    if chosen not in available_tiers():
        raise ValueError(f"PYGGML_SIMD is {chosen!r}; allowed on this CPU: {', '.join(available_tiers())}")
    return chosen


@lru_cache(maxsize=1)
def converts_halves() -> bool:
    """Whether the CPU converts IEEE halves; where not, LLVM would call a library that is not there.

    The portable tier does without on x86, as its oldest CPUs do.
    """
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return True
    return tier() != "portable" and bool(llvmlite.binding.get_host_cpu_features().get("f16c"))
