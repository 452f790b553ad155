"""The fields of a result, named, ordered and written as by llama-bench; what means nothing here has its default."""

import platform
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from pyggml import __version__
from pyggml.bench.cases import BenchSetup
from pyggml.bench.result import BenchResult

#: What takes the place of the commit and the number of a build of llama.cpp.
BUILD_COMMIT, BUILD_NUMBER = f"pyggml-{__version__}", 0

#: Each field and how it is stored: text, a whole number, a truth value or a number.
FIELDS: Mapping[str, type] = MappingProxyType(
    {
        "build_commit": str,
        "build_number": int,
        "cpu_info": str,
        "gpu_info": str,
        "backends": str,
        "model_filename": str,
        "model_type": str,
        "model_size": int,
        "model_n_params": int,
        "n_batch": int,
        "n_ubatch": int,
        "n_threads": int,
        "cpu_mask": str,
        "cpu_strict": bool,
        "poll": int,
        "type_k": str,
        "type_v": str,
        "n_gpu_layers": int,
        "n_cpu_moe": int,
        "split_mode": str,
        "main_gpu": int,
        "no_kv_offload": bool,
        "flash_attn": int,
        "devices": str,
        "tensor_split": str,
        "tensor_buft_overrides": str,
        "load_mode": str,
        "lazy_mode": str,
        "embeddings": bool,
        "no_op_offload": int,
        "no_host": bool,
        "repack": bool,
        "fit_target": int,
        "fit_min_ctx": int,
        "n_prompt": int,
        "n_gen": int,
        "n_depth": int,
        "test_time": str,
        "avg_ns": int,
        "stddev_ns": int,
        "avg_ts": float,
        "stddev_ts": float,
    }
)

_WITHOUT_MEANING: Mapping[str, str | int] = MappingProxyType(
    {
        "gpu_info": "",
        "cpu_mask": "0x0",
        "cpu_strict": 0,
        "poll": 50,
        "n_cpu_moe": 0,
        "load_mode": "auto",
        "lazy_mode": "auto",
        "embeddings": 0,
        "no_op_offload": 0,
        "no_host": 0,
        "repack": 1,
        "fit_target": 0,
        "fit_min_ctx": 0,
    }
)


def field_values(result: BenchResult) -> dict[str, str]:
    """All fields of a result as text, in their order; numbers as llama-bench prints them."""
    case, setup, model = result.case, result.case.setup, result.model
    values: dict[str, str | int | float] = {
        **_WITHOUT_MEANING,
        "build_commit": BUILD_COMMIT,
        "build_number": BUILD_NUMBER,
        "cpu_info": cpu_name(),
        "backends": result.backend,
        "model_filename": str(setup.model),
        "model_type": model.type,
        "model_size": model.n_bytes,
        "model_n_params": model.n_elements,
        **{name: value for name, value in vars(setup).items() if name != "model"},
        **_devices(setup),
        "n_prompt": case.n_prompt,
        "n_gen": case.n_gen,
        "n_depth": case.n_depth,
        "test_time": result.test_time,
        **{name: getattr(result, name) for name in ("avg_ns", "stddev_ns", "avg_ts", "stddev_ts")},
    }
    return {name: f"{values[name]:f}" if kind is float else str(values[name]) for name, kind in FIELDS.items()}


def _devices(setup: BenchSetup) -> dict[str, str]:
    """Lists as llama-bench writes them: shares up to the last one above 0."""
    n_shares = max((i for i, share in enumerate(setup.tensor_split, start=1) if share > 0), default=0)
    return {
        "devices": "auto" if setup.devices is None else "/".join(setup.devices),
        "tensor_split": "/".join(f"{share:.2f}" for share in setup.tensor_split[:n_shares] or (0.0,)),
        "tensor_buft_overrides": ";".join(f"{name}={device}" for name, device in setup.tensor_buft_overrides) or "none",
    }


def cpu_name() -> str:
    """The processor as the system calls it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())
