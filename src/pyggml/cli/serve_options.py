"""Where and how the server listens, and how much it takes on: the options, and what they came to."""

from dataclasses import dataclass
from pathlib import Path

import click

from pyggml.cli.parameter_types import TEXT
from pyggml.cli.sections import Decorated, section


@dataclass(frozen=True)
class ListenOptions:
    """The address, its encryption, who may come in, and how the server ends."""

    host: str
    port: int
    reuse_port: bool
    ssl_key_file: Path | None
    ssl_cert_file: Path | None
    api_key: tuple[str, ...]
    api_key_file: Path | None
    api_prefix: str
    cors_origins: str
    cors_methods: str
    cors_headers: str
    cors_credentials: bool


@dataclass(frozen=True)
class TransferOptions:
    """How long clients may take, how much they may send, and how the server ends."""

    timeout: float
    shutdown_timeout: float
    sse_ping_interval: float
    max_body_size: int
    threads_http: int


@dataclass(frozen=True)
class CapacityOptions:
    """How many requests run and wait, and what an answer may be."""

    parallel: int
    kv_unified: bool
    queue_size: int
    predict: int
    reverse_prompt: tuple[str, ...]
    context_shift: bool
    cache_ram: int


@dataclass(frozen=True)
class EndpointOptions:
    """The model's name, and which endpoints there are."""

    alias: str | None
    chat_template: str | None
    chat_template_file: Path | None
    page: bool
    slots: bool
    slot_save_path: Path | None
    metrics: bool
    props: bool
    embeddings: bool
    pooling: str
    reranking: bool


@dataclass(frozen=True)
class LogOptions:
    """What becomes of the log."""

    log_format: str
    log_file: Path | None


_listen = section("Address and access")
_transfer = section("Clients")
_capacity = section("Requests")
_endpoints = section("Endpoints")
_log = section("Log")
_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
_FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)
POOLINGS = ("none", "mean", "cls", "last")

_OPTIONS = (
    _listen(
        "host", "--host", default="127.0.0.1", default_text="127.0.0.1", metavar="HOST[,HOST]",
        help="The address to listen on; a path that ends in .sock is a unix socket.",
    ),
    _listen(
        "port", "--port", type=click.IntRange(0, 65535), default=8080, default_text="8080", metavar="N",
        help="The port to listen on; 0: any that is free.",
    ),
    _listen("reuse_port", "--reuse-port", is_flag=True, help="Let other servers listen at the same port."),
    _listen("api_key", "--api-key", multiple=True, metavar="KEY[,KEY]", help="Keys of which clients need one."),
    _listen(
        "api_key_file", "--api-key-file", type=_FILE, metavar="FILE",
        help="A file of such keys, one a line; lines that begin with # are comments.",
    ),
    _listen(
        "api_prefix", "--api-prefix", default="", metavar="PATH", help="Where all paths begin, such as /llm.",
    ),
    _listen("ssl_key_file", "--ssl-key-file", type=_FILE, metavar="FILE", help="The private key of HTTPS, as PEM."),
    _listen("ssl_cert_file", "--ssl-cert-file", type=_FILE, metavar="FILE", help="The certificate of HTTPS, as PEM."),
    _listen(
        "cors_origins", "--cors-origins", default="*", default_text="*", metavar="ORIGIN[,ORIGIN]",
        help="Pages of which origins may use the API; localhost: those of this machine.",
    ),
    _listen(
        "cors_methods", "--cors-methods", default="GET, POST, DELETE, OPTIONS", metavar="METHODS",
        default_text="GET, POST, DELETE, OPTIONS", help="The methods that they may use.",
    ),
    _listen(
        "cors_headers", "--cors-headers", default="*", default_text="*", metavar="HEADERS",
        help="The headers that they may send.",
    ),
    _listen(
        "cors_credentials", "--cors-credentials/--no-cors-credentials", default=True, default_text="on",
        help="Whether they may send credentials.",
    ),
    _transfer(
        "timeout", "-to", "--timeout", type=click.FloatRange(0), default=3600.0, default_text="3600",
        metavar="SECONDS", help="Give up a client that sends or reads nothing for so long; 0: never.",
    ),
    _transfer(
        "shutdown_timeout", "--shutdown-timeout", type=click.FloatRange(0), default=30.0, default_text="30",
        metavar="SECONDS", help="How long running requests may take once the server is to end.",
    ),
    _transfer(
        "sse_ping_interval", "--sse-ping-interval", type=float, default=30.0, default_text="30", metavar="SECONDS",
        help="A stream shows after so long that it lives; -1: it does not.",
    ),
    _transfer(
        "max_body_size", "--max-body-size", type=click.IntRange(1), default=64, default_text="64", metavar="MIB",
        help="The largest request, in MiB.",
    ),
    _transfer(
        "threads_http", "--threads-http", type=click.IntRange(-1), default=-1, default_text="-1: 4",
        metavar="N", help="Threads that turn long prompts into tokens.",
    ),
    _capacity(
        "parallel", "-np", "--parallel", type=click.IntRange(-1, 1024), default=-1, metavar="N",
        default_text="-1: 4 that share the context",
        help="Requests that run at a time; each has an equal part of the context (-c).",
    ),
    _capacity("kv_unified", "-kvu", "--kv-unified", is_flag=True, help="Let each of them use all of the context."),
    _capacity(
        "queue_size", "--queue-size", type=click.IntRange(0), default=256, default_text="256", metavar="N",
        help="Requests that may wait; more are answered with 503.",
    ),
    _capacity(
        "predict", "-n", "--predict", "--n-predict", type=click.IntRange(-1), default=-1, metavar="N",
        default_text="-1, unlimited", help="Tokens of an answer, unless the request says how many.",
    ),
    _capacity(
        "reverse_prompt", "-r", "--reverse-prompt", multiple=True, metavar="TEXT", type=TEXT,
        help="End an answer at this text, unless the request says where.",
    ),
    _capacity(
        "context_shift", "--context-shift/--no-context-shift", default=False, default_text="off",
        help="When the context is full, forget half of it and go on.",
    ),
    _capacity(
        "cache_ram", "-cram", "--cache-ram", type=click.IntRange(-1), default=8192, default_text="8192", metavar="MIB",
        help="Memory for evaluated prompts that the cache has no place for; 0: none, -1: no limit.",
    ),
    _endpoints("alias", "-a", "--alias", metavar="NAME[,NAME]", help="The model's name in answers."),
    _endpoints(
        "chat_template", "--chat-template", metavar="NAME|FILE|TEXT", type=TEXT, default_text="the model's own",
        help="A built-in template such as chatml, a file, or the jinja text.",
    ),
    _endpoints(
        "chat_template_file", "--chat-template-file", type=_FILE, metavar="FILE", help="The template in a file."
    ),
    _endpoints("page", "--ui/--no-ui", "--webui/--no-webui", default=True, default_text="on",
        help="The pages: / and /docs."),
    _endpoints("slots", "--slots/--no-slots", default=True, default_text="on", help="GET /slots."),
    _endpoints(
        "slot_save_path", "--slot-save-path", type=_FOLDER, metavar="DIR", help="Where slots are saved and restored."
    ),
    _endpoints("metrics", "--metrics", is_flag=True, help="GET /metrics."),
    _endpoints("props", "--props", is_flag=True, help="POST /props."),
    _endpoints("embeddings", "--embeddings", "--embedding", is_flag=True, help="The endpoints of embeddings."),
    _endpoints(
        "pooling", "--pooling", type=click.Choice(POOLINGS), default="none", default_text="none",
        help="How the states of a text's tokens become its embedding.",
    ),
    _endpoints("reranking", "--reranking", "--rerank", is_flag=True, hidden=True),
    _log(
        "log_format", "--log-format", type=click.Choice(("text", "json")), default="text", default_text="text",
        help="One line of text or one JSON object for each request.",
    ),
    _log(
        "log_file", "--log-file", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
        default_text="stderr", help="Write the log to the end of a file.",
    ),
)  # fmt: skip


def serve_options(function: Decorated) -> Decorated:
    """Add all of these options."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function
