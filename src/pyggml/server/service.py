"""What all endpoints share: the model, its scheduler, and the server's own settings."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from fastapi import Request

from pyggml.chat import ChatTemplate
from pyggml.engine import Pooling, Scheduler
from pyggml.grammar import Grammars
from pyggml.model import Model
from pyggml.quantize import FILE_TYPES
from pyggml.server.cors import CorsOptions


@dataclass(frozen=True, kw_only=True)
class ServerOptions:
    """What the server does beside the model."""

    aliases: tuple[str, ...] = ()
    """Names of the model; none: the file's name."""
    api_keys: frozenset[str] = frozenset()
    """Any of them opens the API; none: it is open."""
    sampling: Mapping[str, Any] = field(default_factory=dict)
    """Fields of `SamplingOptions`, for requests that leave them out; before the model's own."""
    n_predict: int = -1
    """Tokens of an answer, unless the request says how many."""
    stop: tuple[str, ...] = ()
    """Strings that end an answer, unless the request names its own."""
    context_shift: bool = False
    slot_save_path: Path | None = None
    """Where slots are saved; None: they are not."""
    slots_endpoint: bool = True
    metrics_endpoint: bool = False
    props_endpoint: bool = False
    """Whether POST /props changes anything."""
    embeddings: bool = False
    pooling: Pooling = "none"
    """How the states of a text's tokens become one vector."""
    n_batch: int = 2048
    """Tokens around the gap that /infill takes from its prefix and suffix."""
    chat_template: ChatTemplate | None = None
    """Instead of the model's own."""
    page: bool = True
    """Whether there are pages for people: the chat at /, and the API's description at /docs."""
    prefix: str = ""
    """Where all paths begin, such as /llm."""
    cors: CorsOptions = field(default_factory=CorsOptions)
    ping_seconds: float = 30.0
    """An idle stream shows after so long that it lives."""
    client_seconds: float = 3600.0
    """How long a client may take to send or to read a piece; 0: for ever."""
    max_body: int = 64 << 20
    """Bytes of a request's body."""


_SIZES = {"_S": " - Small", "_M": " - Medium", "_L": " - Large"}


def shown_file_type(number: int) -> str:
    """llama.cpp's words for a file type, such as "Q4_K - Medium"."""
    # Some numbers have two names, of which the longer says more: Q4_K and Q4_K_M.
    name = max(
        (each.name for each in FILE_TYPES.values() if each.number == number and not each.is_copy),
        key=len,
        default="unknown",
    )
    for end, size in _SIZES.items():
        if name.endswith(f"_K{end}"):
            return name.removesuffix(end) + size
    return "all F32" if name == "F32" else name


@dataclass(frozen=True)
class Service:
    """A model that is being served."""

    model: Model
    scheduler: Scheduler
    options: ServerOptions = field(default_factory=ServerOptions)
    started: float = field(default_factory=time.time)
    """Unix time."""

    @cached_property
    def grammars(self) -> Grammars:
        """Grammars for the model's answers."""
        return Grammars(self.model.tokenizer)

    @property
    def name(self) -> str:
        """The model's name in answers: the first of its aliases by the alphabet, as in llama-server."""
        return min(self.options.aliases, default=self.model.file.path.name)

    @property
    def chat_template(self) -> ChatTemplate | None:
        """How conversations are written, if the model or the server knows."""
        return self.options.chat_template or self.model.chat_template

    @cached_property
    def file_type(self) -> str:
        """The mixture of types in the file, as llama.cpp calls it."""
        return shown_file_type(self.model.file.get("general.file_type", int, -1))


async def service_of(request: Request) -> Service:
    """The service that a request came to; for `Depends`. No plain function: that would be called on another thread."""
    service: Service = request.app.state.service
    return service
