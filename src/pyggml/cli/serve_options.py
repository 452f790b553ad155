"""Where and how the server listens, and how much it takes on: the options, and what they came to."""

from dataclasses import dataclass
from pathlib import Path

import click

from pyggml.cli.sections import Decorated, section


@dataclass(frozen=True)
class ListenOptions:
    """The address, its encryption, who may come in, and how the server ends."""

    host: str
    port: int
    ssl_key_file: Path | None
    ssl_cert_file: Path | None
    api_key: tuple[str, ...]
    api_key_file: Path | None
    timeout: float


@dataclass(frozen=True)
class CapacityOptions:
    """How many requests run and wait, and what an answer may be."""

    parallel: int
    kv_unified: bool
    queue_size: int
    predict: int
    context_shift: bool


@dataclass(frozen=True)
class EndpointOptions:
    """The model's name, and which endpoints there are."""

    alias: str | None
    slots: bool
    slot_save_path: Path | None
    metrics: bool
    props: bool
    embeddings: bool


_listen = section("Address and access")
_capacity = section("Requests")
_endpoints = section("Endpoints")
_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
_FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)

_OPTIONS = (
    _listen(
        "host", "--host", default="127.0.0.1", default_text="127.0.0.1", metavar="HOST",
        help="The address to listen on; a path that ends in .sock is a unix socket.",
    ),
    _listen(
        "port", "--port", type=click.IntRange(0, 65535), default=8080, default_text="8080", metavar="N",
        help="The port to listen on.",
    ),
    _listen("api_key", "--api-key", multiple=True, metavar="KEY[,KEY]", help="Keys of which clients need one."),
    _listen("api_key_file", "--api-key-file", type=_FILE, metavar="FILE", help="A file of such keys, one a line."),
    _listen("ssl_key_file", "--ssl-key-file", type=_FILE, metavar="FILE", help="The private key of HTTPS, as PEM."),
    _listen("ssl_cert_file", "--ssl-cert-file", type=_FILE, metavar="FILE", help="The certificate of HTTPS, as PEM."),
    _listen(
        "timeout", "--shutdown-timeout", type=click.FloatRange(0), default=30.0, default_text="30", metavar="SECONDS",
        help="How long running requests may take once the server is to end.",
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
        "context_shift", "--context-shift/--no-context-shift", default=False, default_text="off",
        help="When the context is full, forget half of it and go on.",
    ),
    _endpoints("alias", "-a", "--alias", metavar="NAME[,NAME]", help="The model's name in answers."),
    _endpoints("slots", "--slots/--no-slots", default=True, default_text="on", help="GET /slots."),
    _endpoints(
        "slot_save_path", "--slot-save-path", type=_FOLDER, metavar="DIR", help="Where slots are saved and restored."
    ),
    _endpoints("metrics", "--metrics", is_flag=True, help="GET /metrics."),
    _endpoints("props", "--props", is_flag=True, help="POST /props."),
    _endpoints("embeddings", "--embeddings", "--embedding", is_flag=True, help="The endpoints of embeddings."),
)  # fmt: skip


def serve_options(function: Decorated) -> Decorated:
    """Add all of these options."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function
