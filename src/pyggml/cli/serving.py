"""What `pyggml serve` does once its options are known."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from pyggml.cli.console import Console
from pyggml.cli.escapes import process_escapes
from pyggml.cli.loading import load_model, warn_of_shift
from pyggml.cli.model_options import LoadOptions, ModelOptions
from pyggml.cli.model_source import locate_model, locate_tower
from pyggml.cli.picture_options import TowerOptions
from pyggml.cli.prompts import template_choice
from pyggml.cli.serve_logs import server_log
from pyggml.cli.serve_options import CapacityOptions, EndpointOptions, ListenOptions, LogOptions, TransferOptions
from pyggml.engine import Pooling, Scheduler, SchedulerOptions
from pyggml.errors import MissingExtraError, UsageError
from pyggml.gguf import GGUFFile
from pyggml.model import Model
from pyggml.models import DecoderConfig, architecture_of
from pyggml.sampling import SamplingOptions

if TYPE_CHECKING:
    from pyggml.server.cors import CorsOptions
    from pyggml.server.listening import Listening
    from pyggml.server.service import ServerOptions

_AUTOMATIC_SLOTS = 4
_AUTOMATIC_THREADS = 4
#: A context is a multiple of this, as llama.cpp has it.
_CONTEXT_MULTIPLE = 256
_NEEDED = ("fastapi", "uvicorn", "prometheus_client")


@dataclass(frozen=True)
class ServeOptions:
    """All options of `pyggml serve`; `sampling` are the fields of `SamplingOptions` that the user set, `warnings`
    concern options without effect."""

    source: ModelOptions
    load: LoadOptions
    tower: TowerOptions
    listen: ListenOptions
    transfer: TransferOptions
    capacity: CapacityOptions
    endpoints: EndpointOptions
    log: LogOptions
    sampling: Mapping[str, Any]
    warnings: tuple[str, ...]


def run_server(options: ServeOptions) -> None:
    """Load the model and serve it until a signal comes. Raises PyggmlError."""
    _check(options)
    from pyggml.server.loading import told_to_wait
    from pyggml.server.running import serve
    from pyggml.server.service import Service

    console = Console()
    for warning in options.warnings:
        console.warn(warning)
    listening = _listening(options.listen, options.transfer)
    keys, prefix = _keys(options.listen), _prefix(options.listen)
    listeners = listening.bind()
    try:
        with server_log(options.log.log_format, options.log.log_file):
            with told_to_wait(listening, listeners.sockets, _cors(options.listen)):
                path = locate_model(options.source)
                n_slots, n_ctx, n_cache = _capacity(options, path)
                tower = locate_tower(options.source, options.tower, path, console)
                load = replace(options.load, ctx_size=n_ctx)
                loaded = load_model(path, load, console, tower, n_cache=n_cache, n_sequences=n_slots)
                model = loaded.model
                warn_of_shift(model, options.capacity.context_shift, console)
                server_options = _server_options(options, model, keys, prefix)
            scheduler = Scheduler(model.engine, model.tokenizer, _scheduling(n_slots, options.capacity))
            scheduler.start()
            addresses = listeners.addresses(encrypted=listening.ssl_key_file is not None)
            places = ", ".join(each if each.endswith(".sock") else f"{each}{prefix}" for each in addresses)
            console.remark(
                f"{path.name} loaded in {loaded.seconds:.1f} s: {n_slots} requests at a time,"
                f" {model.n_ctx} tokens each at most; listening at {places}"
            )
            serve(Service(model, scheduler, server_options), listening, listeners.sockets)
    finally:
        listeners.close()


def _check(options: ServeOptions) -> None:
    """Refuse what cannot be before anything takes time."""
    if missing := [name for name in _NEEDED if find_spec(name) is None]:
        raise MissingExtraError(
            f'pyggml serve needs {", ".join(missing)}: install it with pip install "pyggml[server]"'
        )
    if options.capacity.parallel == 0:
        raise UsageError("-np is 0; allowed are -1 (automatic), 1 and up")
    if options.endpoints.reranking:
        raise UsageError("--reranking needs a model made for it, of a kind that is not supported yet; leave it out")
    if (options.listen.ssl_key_file is None) != (options.listen.ssl_cert_file is None):
        raise UsageError("HTTPS needs both --ssl-key-file and --ssl-cert-file")
    SamplingOptions(**options.sampling)


def _capacity(options: ServeOptions, path: Path) -> tuple[int, int, int]:
    """How many slots, the positions that each has at most, and those of all together."""
    file = GGUFFile.open(path)
    trained = DecoderConfig.from_file(file, architecture_of(file)).n_ctx_train
    total = _rounded(options.load.ctx_size or trained)
    if options.capacity.parallel < 0:
        return _AUTOMATIC_SLOTS, total, total
    n_slots = options.capacity.parallel
    if options.capacity.kv_unified:
        return n_slots, total, total
    each = _rounded(total // n_slots)
    return n_slots, each, each * n_slots


def _scheduling(n_slots: int, capacity: CapacityOptions) -> SchedulerOptions:
    max_spilled = None if capacity.cache_ram < 0 else capacity.cache_ram << 20
    return SchedulerOptions(n_slots, capacity.queue_size, max_spilled)


def _rounded(n_positions: int) -> int:
    return max(-(-n_positions // _CONTEXT_MULTIPLE), 1) * _CONTEXT_MULTIPLE


def _server_options(options: ServeOptions, model: Model, keys: frozenset[str], prefix: str) -> "ServerOptions":
    from pyggml.server.service import ServerOptions

    endpoints, capacity, transfer = options.endpoints, options.capacity, options.transfer
    aliases = (endpoints.alias or "").split(",")
    template = template_choice(endpoints)
    return ServerOptions(
        aliases=tuple(alias.strip() for alias in aliases if alias.strip()),
        api_keys=keys,
        sampling=options.sampling,
        n_predict=capacity.predict,
        stop=tuple(map(process_escapes, capacity.reverse_prompt)),
        context_shift=capacity.context_shift,
        slot_save_path=endpoints.slot_save_path,
        slots_endpoint=endpoints.slots,
        metrics_endpoint=endpoints.metrics,
        props_endpoint=endpoints.props,
        embeddings=endpoints.embeddings,
        pooling=cast(Pooling, endpoints.pooling),
        n_batch=options.load.batch_size,
        chat_template=None if template is None else model.choose_chat_template(template),
        page=endpoints.page,
        prefix=prefix,
        cors=_cors(options.listen),
        ping_seconds=transfer.sse_ping_interval,
        client_seconds=transfer.timeout,
        max_body=transfer.max_body_size << 20,
    )


def _cors(listen: ListenOptions) -> "CorsOptions":
    from pyggml.server.cors import CorsOptions

    return CorsOptions(listen.cors_origins, listen.cors_methods, listen.cors_headers, listen.cors_credentials)


def _prefix(listen: ListenOptions) -> str:
    """With a slash before it and none behind."""
    prefix = listen.api_prefix.rstrip("/")
    if prefix and not prefix.startswith("/"):
        raise UsageError(f"--api-prefix is {listen.api_prefix!r}; it begins with a slash, such as /llm")
    return prefix


def _keys(listen: ListenOptions) -> frozenset[str]:
    given = [key for text in listen.api_key for key in text.split(",")]
    if listen.api_key_file is not None:
        lines = Path(listen.api_key_file).read_text(encoding="utf-8").splitlines()
        given += [line for line in lines if not line.startswith("#")]
    keys = frozenset(key.strip() for key in given if key.strip())
    if not keys and (listen.api_key or listen.api_key_file):
        raise UsageError(
            "--api-key or --api-key-file is given, but holds no key: the server would be open to everybody"
        )
    return keys


def _listening(listen: ListenOptions, transfer: TransferOptions) -> "Listening":
    from pyggml.server.listening import Listening

    hosts = tuple(host.strip() for host in listen.host.split(",") if host.strip())
    if not hosts:
        raise UsageError("--host names no address")
    key, certificate = listen.ssl_key_file, listen.ssl_cert_file
    return Listening(
        hosts,
        listen.port,
        listen.reuse_port,
        str(key) if key else None,
        str(certificate) if certificate else None,
        transfer.shutdown_timeout,
        transfer.threads_http if transfer.threads_http > 0 else _AUTOMATIC_THREADS,
    )
