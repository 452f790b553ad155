"""POST /infill: code between a prefix and a suffix (Hui et al., 2024, arXiv:2409.12186, for the order of files)."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field

from pyggml.engine import GenerationRequest, Prompt
from pyggml.server.answering import respond
from pyggml.server.completion import CompletionFields, NativeFormat
from pyggml.server.errors import ApiError
from pyggml.server.prompts import Mixed, tokens_of
from pyggml.server.service import Service, service_of
from pyggml.server.worker import read_prompt
from pyggml.tokenizer import Tokenizer

router = APIRouter(tags=["completion"])
#: Between the texts of files, for models that have no token for it.
_FILE_BORDER = "\n\n--- snippet ---\n\n"


class File(BaseModel):
    """Another file, whose text helps."""

    model_config = ConfigDict(extra="ignore")
    text: str
    filename: str = "tmp"


class InfillRequest(CompletionFields):
    """The body of /infill."""

    input_prefix: str | Mixed
    input_suffix: str | Mixed
    input_extra: list[File] = Field(default_factory=list)
    prompt: str = ""

    def to_requests(self, service: Service) -> list[GenerationRequest]:
        """What the scheduler is asked for. Raises ApiError, UsageError, SamplingError."""
        return self.requests(service, [Prompt(tuple(self._tokens(service)))])

    def _tokens(self, service: Service) -> list[int]:
        """Other files, then prefix, suffix and the middle's beginning; what is too long is cut far from the gap."""
        model, tokenizer = service.model, service.model.tokenizer
        begin, end, middle = _gap_tokens(tokenizer)
        n_batch = service.options.n_batch
        prompt = model.tokenize(self.prompt, add_special=False, parse_special=True)
        prefix = tokens_of(model, self.input_prefix, add_special=False, parse_special=False)
        suffix = tokens_of(model, self.input_suffix, add_special=False, parse_special=False)
        prefix = prefix[max(0, len(prefix) - 3 * (n_batch // 4)) :]
        suffix = suffix[: max(0, n_batch // 4 - (2 + len(prompt)))]
        n_predict = service.options.n_predict
        extra = _files(tokenizer, self.input_extra)
        extra = extra[max(0, len(extra) - max(0, model.n_ctx - n_batch - 2 * n_predict)) :]
        bos = [tokenizer.bos] if tokenizer.add_bos and tokenizer.bos is not None else []
        return [*extra, *bos, begin, *prefix, *prompt, end, *suffix, middle]


def _gap_tokens(tokenizer: Tokenizer) -> tuple[int, int, int]:
    """The tokens before prefix, suffix and middle. Raises ApiError if the model has none."""
    special = tokenizer.special
    prefix, suffix, middle = special.fim_prefix, special.fim_suffix, special.fim_middle
    if prefix is None or suffix is None or middle is None:
        named = (("prefix", prefix), ("suffix", suffix), ("middle", middle))
        missing = " ".join(f"{name} token is missing." for name, token in named if token is None)
        raise ApiError(501, f"Infill is not supported by this model: {missing}")
    return prefix, suffix, middle


def _files(tokenizer: Tokenizer, files: Sequence[File]) -> list[int]:
    """The other files, each under its name, and the name of the one with the gap."""

    def plain(text: str) -> list[int]:
        return tokenizer.tokenize(text, add_special=False)

    repository, separator = tokenizer.special.fim_repository, tokenizer.special.fim_separator
    tokens = [] if repository is None else [repository, *plain("myproject\n")]
    for file in files:
        border = plain(_FILE_BORDER) if separator is None else [separator, *plain(f"{file.filename}\n")]
        tokens += [*border, *plain(file.text)]
    return tokens if separator is None else [*tokens, separator, *plain("filename\n")]


@router.post("/infill", response_model=None)
async def infill(body: InfillRequest, client: Request, service: Annotated[Service, Depends(service_of)]) -> Any:
    """Fill a gap."""
    requests = await read_prompt(client, lambda: body.to_requests(service), is_slow=body.has_structure)
    form = NativeFormat(service, body, requests)
    return await respond(client, service, requests, form, stream=body.stream, ping_seconds=body.ping_seconds(service))
