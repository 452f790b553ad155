"""What all endpoints share: the model, its scheduler, and the server's own settings."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastapi import Request

from pyggml.engine import Scheduler
from pyggml.model import Model


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
    context_shift: bool = False
    slot_save_path: Path | None = None
    """Where slots are saved; None: they are not."""
    slots_endpoint: bool = True
    metrics_endpoint: bool = False
    props_endpoint: bool = False
    """Whether POST /props changes anything."""
    embeddings: bool = False
    ping_seconds: float = 30.0
    """An idle stream shows after so long that it lives."""


@dataclass(frozen=True)
class Service:
    """A model that is being served."""

    model: Model
    scheduler: Scheduler
    options: ServerOptions = field(default_factory=ServerOptions)
    started: float = field(default_factory=time.time)
    """Unix time."""

    @property
    def name(self) -> str:
        """The model's name in answers: the first of its aliases by the alphabet, as in llama-server."""
        return min(self.options.aliases, default=self.model.file.path.name)


def service_of(request: Request) -> Service:
    """The service that a request came to; for `Depends`."""
    service: Service = request.app.state.service
    return service
