"""What the bodies of all requests have in common: fields checked by name, and the settings of the samplers."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from typing import Annotated, Any

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, model_validator

from pyggml.engine import GenerationOptions, GenerationRequest, Prompt
from pyggml.errors import UsageError
from pyggml.sampling import SamplingOptions, samplers_from_letters
from pyggml.server.logit_bias import BiasList, BiasMap, token_biases
from pyggml.server.service import Service

#: A field is taken for a misspelled one from this similarity on; others that are unknown are left aside, as clients
#: send what concerns other servers.
_MISSPELLED = 0.85
#: Fields of llama-server and of OpenAI that change nothing here, and are no misspelled ones.
_WITHOUT_EFFECT = frozenset({"n_cache_reuse", "verbose", "backend_sampling", "model", "user", "logprobs"})


class RequestBody(BaseModel):
    """A JSON object. null stands for an absent field, as in llama-server; a misspelled field is an error."""

    model_config = ConfigDict(extra="ignore", strict=False, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _check_names(cls, body: Any) -> Any:
        if not isinstance(body, dict):
            return body
        known = {
            name for field, info in cls.model_fields.items() for name in (field, *_aliases(info))
        } | _WITHOUT_EFFECT
        for name in body:
            if name not in known and (meant := get_close_matches(name, known, 1, _MISSPELLED)):
                raise ValueError(f"there is no field {name!r}; {meant[0]!r} was meant?")
        return {name: value for name, value in body.items() if value is not None}


def _aliases(info: Any) -> list[str]:
    choices = info.validation_alias
    return [str(choice) for choice in choices.choices] if isinstance(choices, AliasChoices) else []


Count = Annotated[int, Field(ge=0)]


class SamplingFields(RequestBody):
    """The fields of `SamplingOptions`, under llama-server's names; those that are absent keep the server's defaults."""

    seed: int | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    top_n_sigma: float | None = None
    typical_p: float | None = None
    xtc_probability: float | None = None
    xtc_threshold: float | None = None
    dynatemp_range: float | None = None
    dynatemp_exponent: float | None = None
    repeat_last_n: int | None = None
    repeat_penalty: float | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    dry_multiplier: float | None = None
    dry_base: float | None = None
    dry_allowed_length: int | None = None
    dry_penalty_last_n: int | None = None
    dry_sequence_breakers: list[str] | None = None
    mirostat: int | None = None
    mirostat_tau: float | None = None
    mirostat_eta: float | None = None
    adaptive_target: float | None = None
    adaptive_decay: float | None = None
    samplers: list[str] | str | None = None
    logit_bias: BiasList | BiasMap | None = None
    min_keep: Count | None = None
    ignore_eos: bool | None = None
    n_probs: Count = Field(0, validation_alias=AliasChoices("n_probs", "logprobs"))
    post_sampling_probs: bool = False

    def sampling(self, service: Service, **changed: Any) -> SamplingOptions:
        """The settings of the samplers; `changed` goes before what the body says. Raises SamplingError."""
        names = SamplingOptions.__dataclass_fields__
        given = {name: getattr(self, name) for name in names if getattr(self, name, None) is not None}
        if isinstance(self.samplers, str):
            given["samplers"] = samplers_from_letters(self.samplers)
        if self.logit_bias is not None:
            given["logit_bias"] = token_biases(service.model, self.logit_bias)
        return SamplingOptions.from_metadata(
            service.model.file.metadata, **{**service.options.sampling, **given, **changed}
        )


class StreamOptions(BaseModel):
    """What a stream of OpenAI's APIs says beside the text."""

    model_config = ConfigDict(extra="ignore")
    include_usage: bool = False


class GenerationFields(SamplingFields):
    """What every generating endpoint of llama-server takes beside the prompt."""

    n_predict: int | None = Field(
        None, ge=-1, validation_alias=AliasChoices("n_predict", "max_tokens", "max_completion_tokens")
    )
    n_cmpl: int = Field(1, ge=1, validation_alias=AliasChoices("n_cmpl", "n"))
    n_keep: int = Field(0, ge=-1)
    n_discard: Count = 0
    n_indent: Count = 0
    t_max_predict_ms: int = Field(-1, ge=-1)
    stop: str | list[str] = Field(default_factory=list)
    stream: bool = False
    stream_options: StreamOptions = Field(default_factory=StreamOptions)
    sse_ping_interval: int | None = Field(None, ge=-1)
    cache_prompt: bool = True
    id_slot: int = -1
    return_tokens: bool = False
    return_progress: bool = False
    timings_per_token: bool = False

    def generation(self, service: Service) -> GenerationOptions:
        """When the answer ends. Raises UsageError."""
        limit = service.options.n_predict if self.n_predict is None else self.n_predict
        stop = (self.stop,) if isinstance(self.stop, str) else tuple(self.stop)
        return GenerationOptions(
            limit,
            tuple(string for string in stop if string) or service.options.stop,
            self.n_keep,
            service.options.context_shift,
            self.n_discard,
            max(self.t_max_predict_ms, 0) / 1e3,
            self.n_indent,
        )

    def requests(self, service: Service, prompts: Sequence[Prompt]) -> list[GenerationRequest]:
        """What the scheduler is asked for: `n_cmpl` answers to each prompt. Raises UsageError, SamplingError.

        With a seed, the answers to one prompt have seeds that follow each other.
        """
        if self.n_cmpl > (n_slots := service.scheduler.n_slots):
            raise UsageError(f"n_cmpl is {self.n_cmpl}; allowed are 1 to {n_slots}, the number of slots")
        sampling = self.sampling(service)
        request = GenerationRequest(
            tokens=(),
            sampling=sampling,
            generation=self.generation(service),
            post_sampling_probabilities=self.post_sampling_probs,
            token_timings=self.timings_per_token,
            slot=slot_of(self.id_slot),
            origin=self,
            reuse=self.cache_prompt,
        )
        others = [
            replace(request, slot=None, sampling=replace(sampling, seed=sampling.seed + index))
            if sampling.seed is not None and not sampling.is_seed_random
            else replace(request, slot=None)
            for index in range(1, self.n_cmpl)
        ]
        return [
            replace(each, tokens=prompt.tokens, pictures=prompt.pictures)
            for prompt in prompts
            for each in (request, *others)
        ]

    def ping_seconds(self, service: Service) -> float:
        """How long a stream may be silent; 0 or less: for ever."""
        return service.options.ping_seconds if self.sse_ping_interval is None else self.sse_ping_interval


def slot_of(id_slot: int) -> int | None:
    """The slot that a request names; -1 stands for any."""
    if id_slot < -1:
        raise UsageError(f"id_slot is {id_slot}; allowed are -1, for any slot, and the numbers of slots")
    return None if id_slot == -1 else id_slot


def lifted(answer: Mapping[str, Any], names: list[str]) -> dict[str, Any]:
    """The fields of an answer that `response_fields` names; "a/b" is field b inside a."""
    chosen: dict[str, Any] = {}
    for name in names:
        value: Any = answer
        for part in name.split("/"):
            if not isinstance(value, Mapping) or part not in value:
                break
            value = value[part]
        else:
            chosen[name] = value
    return chosen
