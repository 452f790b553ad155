"""llama-server itself, inside the oracle's wheel, with the model inside the package; and answers to be compared."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import xllamacpp

from pyggml.package_data import demo_model


@contextmanager
def llama_server(path: Path | None = None, **parameters: Any) -> Iterator[httpx.Client]:
    """A client of a server with 4 slots that share 512 positions; `parameters` are fields of llama.cpp's own."""
    params = xllamacpp.CommonParams()
    common = {
        **{"n_ctx": 512, "n_parallel": 4, "n_gpu_layers": 0, "port": 0, "kv_unified": True, "verbosity": -1},
        **{"endpoint_metrics": True, "endpoint_props": True, "warmup": False, "fit_params": False},
    }
    for name, value in {**common, **parameters}.items():
        setattr(params, name, value)
    params.model.path = str(path or demo_model())
    params.cpuparams.n_threads = 1
    server = xllamacpp.Server(params)
    try:
        with httpx.Client(base_url=server.listening_address, timeout=60, trust_env=False) as client:
            yield client
    finally:
        del server


def shape_of(value: Any) -> Any:
    """The names and types in an answer; whole and other numbers count as one type, and lists by their first item."""
    if isinstance(value, Mapping):
        return {name: shape_of(item) for name, item in sorted(value.items())}
    if isinstance(value, list):
        return [shape_of(value[0])] if value else []
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return type(value).__name__
    return "number"


def said_by(response: httpx.Response) -> Any:
    """An answer: JSON, the events of a stream, or text."""
    if response.headers["content-type"].startswith("text/event-stream"):
        lines = [line.removeprefix("data: ") for line in response.text.split("\n") if line]
        return [line if line == "[DONE]" else json.loads(line) for line in lines]
    if response.headers["content-type"].startswith("application/json"):
        return response.json()
    return response.text


def slot_folder(folder: Path) -> str:
    """A folder as llama-server takes it: it puts the name of a file right behind."""
    return f"{folder}/"
