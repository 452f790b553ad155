"""What `pyggml serve` does once its options are known."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyggml.cli.console import Console
from pyggml.cli.loading import load_model
from pyggml.cli.logs import shown_logs
from pyggml.cli.model_options import LoadOptions, ModelOptions
from pyggml.cli.model_source import locate_model
from pyggml.cli.serve_options import CapacityOptions, EndpointOptions, ListenOptions
from pyggml.engine import Scheduler, SchedulerOptions
from pyggml.errors import MissingExtraError, UsageError
from pyggml.sampling import SamplingOptions

if TYPE_CHECKING:
    from pyggml.server.running import Listening
    from pyggml.server.service import ServerOptions

_AUTOMATIC_SLOTS = 4
_NEEDED = ("fastapi", "uvicorn", "prometheus_client")


@dataclass(frozen=True)
class ServeOptions:
    """All options of `pyggml serve`; `sampling` are the fields of `SamplingOptions` that the user set."""

    source: ModelOptions
    load: LoadOptions
    listen: ListenOptions
    capacity: CapacityOptions
    endpoints: EndpointOptions
    sampling: Mapping[str, Any]


def run_server(options: ServeOptions) -> None:
    """Load the model and serve it until a signal comes. Raises PyggmlError."""
    if missing := [name for name in _NEEDED if find_spec(name) is None]:
        raise MissingExtraError(
            f'pyggml serve needs {", ".join(missing)}: install it with pip install "pyggml[server]"'
        )
    from pyggml.server.running import serve
    from pyggml.server.service import Service

    console = Console()
    SamplingOptions(**options.sampling)
    server_options, listening = _server_options(options), _listening(options.listen)
    n_slots, unified = _slots(options.capacity)
    with shown_logs(console, verbose=False):
        path = locate_model(options.source)
        total = options.load.ctx_size
        load = options.load if unified else replace(options.load, ctx_size=-(-total // n_slots))
        loaded = load_model(path, load, console, n_cache=total, n_sequences=n_slots)
        model = loaded.model
        scheduler = Scheduler(model.engine, model.tokenizer, SchedulerOptions(n_slots, options.capacity.queue_size))
        scheduler.start()
        console.remark(
            f"{path.name} loaded in {loaded.seconds:.1f} s: {n_slots} requests at a time,"
            f" {model.n_ctx} tokens each at most; listening at {options.listen.host}:{options.listen.port}"
        )
        serve(Service(model, scheduler, server_options), listening)


def _slots(capacity: CapacityOptions) -> tuple[int, bool]:
    """How many slots, and whether they share the context."""
    if capacity.parallel == 0:
        raise UsageError("-np is 0; allowed are -1 (automatic), 1 and up")
    is_automatic = capacity.parallel < 0
    return _AUTOMATIC_SLOTS if is_automatic else capacity.parallel, is_automatic or capacity.kv_unified


def _server_options(options: ServeOptions) -> "ServerOptions":
    from pyggml.server.service import ServerOptions

    endpoints, capacity = options.endpoints, options.capacity
    aliases = (endpoints.alias or "").split(",")
    return ServerOptions(
        aliases=tuple(alias.strip() for alias in aliases if alias.strip()),
        api_keys=_keys(options.listen),
        sampling=options.sampling,
        n_predict=capacity.predict,
        context_shift=capacity.context_shift,
        slot_save_path=endpoints.slot_save_path,
        slots_endpoint=endpoints.slots,
        metrics_endpoint=endpoints.metrics,
        props_endpoint=endpoints.props,
        embeddings=endpoints.embeddings,
    )


def _keys(listen: ListenOptions) -> frozenset[str]:
    given = [key for text in listen.api_key for key in text.split(",")]
    if listen.api_key_file is not None:
        given += Path(listen.api_key_file).read_text(encoding="utf-8").splitlines()
    keys = frozenset(key.strip() for key in given if key.strip())
    if not keys and (listen.api_key or listen.api_key_file):
        raise UsageError(
            "--api-key or --api-key-file is given, but holds no key: the server would be open to everybody"
        )
    return keys


def _listening(listen: ListenOptions) -> "Listening":
    from pyggml.server.running import Listening

    if (listen.ssl_key_file is None) != (listen.ssl_cert_file is None):
        raise UsageError("HTTPS needs both --ssl-key-file and --ssl-cert-file")
    key, certificate = listen.ssl_key_file, listen.ssl_cert_file
    return Listening(
        listen.host, listen.port, str(key) if key else None, str(certificate) if certificate else None, listen.timeout
    )
