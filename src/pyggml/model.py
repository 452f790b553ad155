"""The Python API: a loaded model."""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from pyggml.backend.cpu import on_kernel_compilation
from pyggml.chat import ChatTemplate, Message
from pyggml.engine import (
    NO_PICTURES,
    PICTURE_MARKER,
    Engine,
    Event,
    GenerationOptions,
    Part,
    Picture,
    PlacedPictures,
    Session,
    cache_shape,
    picture_prompt,
    with_markers,
)
from pyggml.errors import ContextError, DeviceMemoryError, UsageError
from pyggml.formats import Formats
from pyggml.gguf import GGUFFile
from pyggml.gpus import LAYER, DeviceOptions
from pyggml.models import DecoderConfig, architecture_of, load_weights
from pyggml.placement import Placement, place
from pyggml.sampling import Sampler, SamplingOptions
from pyggml.sharing import Needs
from pyggml.tokenizer import Tokenizer, load_tokenizer
from pyggml.tower import Tower, image_bytes
from pyggml.tower_placement import tower_backend, tower_formats
from pyggml_kernels.formats import OwnFormat

#: A picture: the path or the bytes of its file.
Image = str | os.PathLike[str] | bytes
#: Formats of keys and values in the cache.
CACHE_TYPES = ("f32", "f16", "bf16", "q8_0")
#: The cache's size is a multiple of this, as llama.cpp has it.
_CONTEXT_MULTIPLE = 256
#: A session and a short-lived sequence for `logits`; pages that are never written take no memory.
_N_SEQUENCES = 2
#: Rows of logits computed at a time: with a large vocabulary more would need gigabytes.
_LOGITS_BATCH = 64


def chat_text(template: ChatTemplate, messages: Sequence[Message | Mapping[str, Any]]) -> tuple[str, bool]:
    """The text of a conversation, up to where the model's answer begins, and whether the tokenizer adds to it what it
    adds to a text. Raises ChatTemplateError."""
    text = template.render(messages, add_generation_prompt=True)
    # Some templates write the token that begins a text; then the tokenizer is not to add another.
    begins = bool(template.bos_token) and text.startswith(template.bos_token)
    return text, not begins


def chat_tokens(
    tokenizer: Tokenizer, template: ChatTemplate, messages: Sequence[Message | Mapping[str, Any]]
) -> list[int]:
    """The tokens of a conversation, up to where the model's answer begins. Raises ChatTemplateError."""
    text, add_special = chat_text(template, messages)
    return tokenizer.tokenize(text, add_special=add_special, parse_special=True)


def with_marked_message(
    messages: Iterable[Message | Mapping[str, Any]], n_pictures: int
) -> list[Message | Mapping[str, Any]]:
    """The messages with a marker for each picture: at the beginning of the last one, unless there is any."""
    *earlier, last = messages
    contents = [each.get("content") for each in (*earlier, last)]
    if any(isinstance(content, str) and PICTURE_MARKER in content for content in contents):
        return [*earlier, last]
    return [*earlier, {**last, "content": with_markers(str(last.get("content") or ""), n_pictures)}]


class Model:
    """A model in memory: text to tokens, tokens to logits, prompts to text. One caller at a time."""

    def __init__(
        self,
        file: GGUFFile,
        tokenizer: Tokenizer,
        config: DecoderConfig,
        engine: Engine,
        placement: Placement,
        tower: Tower | None = None,
    ) -> None:
        self.file = file
        self.tokenizer = tokenizer
        self.config = config
        self.engine = engine
        self.placement = placement
        self.tower = tower

    @property
    def n_threads(self) -> int:
        """Threads that compute on the CPU; 1 if all layers are on a GPU."""
        return self.placement.n_threads

    @property
    def n_ctx(self) -> int:
        """Positions a context can have."""
        return self.engine.n_ctx

    @property
    def n_ctx_train(self) -> int:
        """Positions the model was trained with."""
        return self.config.n_ctx_train

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the file's metadata, its tensor list and the cache's formats: the model's name in session files."""
        shape = self.engine.cache.shape
        digest = hashlib.sha256(f"{shape.key_format} {shape.value_format}\n".encode())
        for name, info in self.file.tensors.items():
            digest.update(f"{name} {info.type_id} {info.shape} {info.offset}\n".encode())
        for key, value in self.file.metadata.items():
            digest.update(f"{key}={value!r}\n".encode())
        return digest.hexdigest()

    @cached_property
    def chat_template(self) -> ChatTemplate | None:
        """The file's own chat template, if it has one."""
        source = self.file.get("tokenizer.chat_template", str, "")
        return self.choose_chat_template(None) if source else None

    def choose_chat_template(self, choice: str | None) -> ChatTemplate:
        """A template by built-in name, file or text; None for the file's own. ChatTemplateError if there is none."""
        own = self.file.get("tokenizer.chat_template", str, "") or None
        return ChatTemplate.choose(
            choice, own, bos_token=self._text(self.tokenizer.bos), eos_token=self._text(self.tokenizer.eos)
        )

    def _text(self, token: int | None) -> str:
        return "" if token is None else self.tokenizer.text(token)

    def tokenize(self, text: str, *, add_special: bool = True, parse_special: bool = False) -> list[int]:
        """The tokens of a text; `add_special` adds what the vocabulary wants around it, `parse_special` reads special
        tokens written in it."""
        return self.tokenizer.tokenize(text, add_special=add_special, parse_special=parse_special)

    def detokenize(self, tokens: Sequence[int], *, special: bool = False) -> str:
        """The text of tokens; control tokens are left out unless `special`."""
        return self.tokenizer.detokenize(tokens, render_special=special)

    def look(self, images: Iterable[Image]) -> list[Picture]:
        """Pictures as the model sees them. Raises UsageError if it was loaded without a vision tower, ImageError."""
        given = list(images)
        if given and self.tower is None:
            raise UsageError(
                f"{self.file.path}: the model was loaded without a vision tower, and sees no pictures: give the file of"
                " its tower with --mmproj, in Python with mmproj="
            )
        return [self.tower.look(*image_bytes(image)) for image in given if self.tower]

    def session(self) -> Session:
        """A new context."""
        return Session(self.engine, self.tokenizer, self.fingerprint)

    @cached_property
    def _session(self) -> Session:
        """The context of `generate` and `chat`: what two calls have in common at their beginning is computed once."""
        return self.session()

    def generate(
        self,
        prompt: str | Sequence[int],
        *,
        sampling: SamplingOptions | None = None,
        max_tokens: int = -1,
        stop: Sequence[str] = (),
        options: GenerationOptions | None = None,
        images: Iterable[Image] = (),
    ) -> Iterator[Event]:
        """Continue a prompt, given as text or as tokens, until the model ends it.

        `images` stand where a text has `<__media__>`, one for each; without any they come first. Yields a PromptEvent
        for each batch of the prompt, a TextEvent for each token, and one DoneEvent. `options` replaces `max_tokens` and
        `stop`. Raises ContextError for a prompt that does not fit, and as `look` does.
        """
        tokens, placed = self._prompt(prompt, self.look(images))
        options = options or GenerationOptions(max_tokens=max_tokens, stop=tuple(stop))
        sampler = Sampler(sampling or SamplingOptions.from_metadata(self.file.metadata), self.tokenizer)
        return self._session.generate(tokens, sampler, options, pictures=placed)

    def _prompt(self, prompt: str | Sequence[int], pictures: Sequence[Picture]) -> tuple[Sequence[int], PlacedPictures]:
        if not pictures:
            tokens = self.tokenize(prompt, parse_special=True) if isinstance(prompt, str) else prompt
            return tokens, NO_PICTURES
        if not isinstance(prompt, str):
            raise UsageError("the prompt is given as tokens, which have no place for pictures: give it as text")
        return picture_prompt(self.tokenizer, with_markers(prompt, len(pictures)), pictures)

    def chat(
        self,
        messages: Iterable[Message | Mapping[str, Any]],
        *,
        chat_template: str | None = None,
        sampling: SamplingOptions | None = None,
        max_tokens: int = -1,
        stop: Sequence[str] = (),
        images: Iterable[Image] = (),
    ) -> Iterator[Event]:
        """Answer a conversation; each message has a `role` and a `content`. Events as `generate` gives them.

        `images` stand where messages have `<__media__>`, one for each; without any they begin the last message.
        """
        template, given = self.choose_chat_template(chat_template), list(images)
        if not given:
            tokens = chat_tokens(self.tokenizer, template, list(messages))
            return self.generate(tokens, sampling=sampling, max_tokens=max_tokens, stop=stop)
        text = template.render(with_marked_message(messages, len(given)), add_generation_prompt=True)
        return self.generate(text, sampling=sampling, max_tokens=max_tokens, stop=stop, images=given)

    def logits(self, tokens: Sequence[int]) -> npt.NDArray[np.float32]:
        """The logits (n_tokens, n_vocab) after each token of a text, the text's own tokens being fed in."""
        return self._evaluate(tokens, None)

    def hidden_states(self, tokens: Sequence[int], layer: int) -> npt.NDArray[np.float32]:
        """The residual stream (n_tokens, n_embd) after `layer` layers: 0 is the embedding, n_layers what the last
        normalization reads."""
        if not 0 <= layer <= self.config.n_layers:
            raise UsageError(f"layer is {layer}; the model has layers 0 (the embedding) to {self.config.n_layers}")
        return self._evaluate(tokens, layer)

    def _evaluate(self, tokens: Sequence[int], n_layers: int | None) -> npt.NDArray[np.float32]:
        if not 0 < len(tokens) <= self.n_ctx:
            raise ContextError(f"{len(tokens)} tokens; the context holds 1 to {self.n_ctx}")
        n_vocab = self.config.n_vocab
        if bad := [token for token in tokens if not 0 <= token < n_vocab]:
            raise UsageError(f"token {bad[0]} is not in the vocabulary of {n_vocab}")
        sequence = self.engine.new_sequence()
        batch = min(_LOGITS_BATCH, self.engine.n_batch)
        try:
            rows = []
            for start in range(0, len(tokens), batch):
                part = tokens[start : start + batch]
                rows.append(self.engine.step([Part(sequence, start, part, range(len(part)))], n_layers).copy())
            return np.concatenate(rows)
        finally:
            sequence.truncate(0)


def load(
    path: str | os.PathLike[str],
    *,
    n_ctx: int = 0,
    n_cache: int = 0,
    n_batch: int = 2048,
    n_ubatch: int = 512,
    n_threads: int | None = None,
    n_gpu_layers: int | str = 0,
    devices: Iterable[str] | None = None,
    main_gpu: int = 0,
    split_mode: str = LAYER,
    tensor_split: Iterable[float] = (),
    override_tensor: Iterable[tuple[str, str]] = (),
    kv_offload: bool = True,
    cache_type_k: str = "f16",
    cache_type_v: str = "f16",
    n_sequences: int = _N_SEQUENCES,
    formats: Iterable[OwnFormat] = (),
    mmproj: str | os.PathLike[str] | None = None,
    image_min_tokens: int = 0,
    image_max_tokens: int = 0,
    mmproj_offload: bool = True,
    on_compile: Callable[[str], None] | None = None,
) -> Model:
    """Load a GGUF file.

    n_ctx: positions of a context, rounded up to a multiple of 256; 0 for as many as the model was trained with.
    n_cache: positions that all contexts together may take in the cache; 0 for `n_sequences` full contexts. Two make a
        session and a short-lived sequence for `logits`; what is never written takes no memory.
    n_sequences: contexts that can be advanced in one step.
    n_batch, n_ubatch: the prompt is evaluated in batches of the smaller of the two.
    n_threads: None for all cores this process may use.
    n_gpu_layers: so many layers are placed on a GPU, the last ones; the output counts as the very last. `all` or -1 for
        all of them, `auto` for as many as fit into the memory that is free. It is a RuntimeWarning if the CPU has to
        compute what was asked of a GPU; `auto` needs none. `placement.reason` tells what was chosen, and why.
    devices: the GPUs to use, in this order, named as `pyggml devices` lists them; `["none"]` for none, None for all.
    split_mode: `layer`, the GPUs share the layers, the output belonging to the last of them; `none`, the GPU of index
        `main_gpu` has all of them.
    tensor_split: the share of the layers that each GPU gets, such as 3, 1; by the memory that is free without.
    override_tensor: pairs of a regular expression and a device, `CPU` or a GPU's name: there lie the weights in whose
        names it is found, the first one deciding, and there is computed what needs them; but for the embeddings' table.
    kv_offload: keep keys and values on their layer's GPU, not in main memory, where attention is computed then.
    cache_type_k, cache_type_v: f32, f16, bf16 or q8_0.
    formats: formats of one's own that the file may be stored in; those of installed packages are found without.
    mmproj: the GGUF file of the vision tower, for a model that sees pictures.
    image_min_tokens, image_max_tokens: what a picture takes at least and at most; 0 for what the tower's file says.
    mmproj_offload: compute the tower on the GPU if there are any layers.
    on_compile: called with the name of each kernel that has to be compiled, once on a machine.

    Raises GGUFError, ModelError, FormatError, TokenizerError for files that cannot be used, UsageError for options that
    cannot, DeviceMemoryError for a GPU whose memory is full.
    """
    _check_options(
        n_ctx=n_ctx, n_cache=n_cache, n_sequences=n_sequences, n_batch=n_batch, n_ubatch=n_ubatch, n_threads=n_threads
    )
    for option, value in (("cache_type_k", cache_type_k), ("cache_type_v", cache_type_v)):
        if value not in CACHE_TYPES:
            raise UsageError(f"{option} is {value!r}; allowed are {', '.join(CACHE_TYPES)}")
    options = DeviceOptions.of(devices, main_gpu, split_mode, tensor_split, override_tensor, kv_offload=kv_offload)
    if on_compile:
        on_kernel_compilation(on_compile)
    file = GGUFFile.open(path)
    config = DecoderConfig.from_file(file, architecture_of(file))
    _check_cache_rows(config, cache_type_k, cache_type_v)
    tokenizer = load_tokenizer(file)
    n_batch = min(n_batch, n_ubatch)
    n_ctx = -(-(n_ctx or config.n_ctx_train) // _CONTEXT_MULTIPLE) * _CONTEXT_MULTIPLE
    known = Formats.of(formats).for_file(file).by_number
    if mmproj is not None:
        known = {**known, **tower_formats(mmproj, config, formats)}
    n_cache, cache_formats = max(n_ctx, n_cache or n_ctx * n_sequences), (cache_type_k, cache_type_v)

    def needs() -> Needs:
        # Imported here, as it needs the sizes of the CUDA package, and is asked for where there is a GPU.
        from pyggml.engine.needs import gpu_needs
        from pyggml.tower_needs import tower_needs

        cache = cache_shape(config, n_cache, cache_formats) if kv_offload else None
        needed = gpu_needs(file, config, known, cache, n_batch, options.override_tensor)
        if mmproj is None or not mmproj_offload:
            return needed
        *layers, output = needed.layers
        return replace(needed, layers=(*layers, output + tower_needs(mmproj, known, image_max_tokens, n_ctx)))

    placement = place(
        n_gpu_layers,
        config.n_layers,
        options=options,
        needs=needs,
        formats=known,
        n_threads=n_threads,
        n_batch=n_batch,
        n_sequences=n_sequences,
    )
    try:
        engine = Engine(
            config,
            load_weights(file, config, placement.layers, known, placement.overrides),
            placement.executor,
            n_ctx=n_ctx,
            n_cache=n_cache,
            n_batch=n_batch,
            cache_formats=cache_formats,
        )
        tower = None
        if mmproj is not None:
            tower = Tower(
                mmproj,
                tower_backend(placement, n_threads, known, offload=mmproj_offload),
                config.n_embd,
                n_ctx,
                min_tokens=image_min_tokens,
                max_tokens=image_max_tokens,
                formats=known,
            )
    except DeviceMemoryError as error:
        raise DeviceMemoryError(f"{error}; {placement.advice}") from error
    return Model(file, tokenizer, config, engine, placement, tower)


def _check_options(
    *, n_ctx: int, n_cache: int, n_sequences: int, n_batch: int, n_ubatch: int, n_threads: int | None
) -> None:
    limits = {
        "n_ctx": (n_ctx, 0, 1 << 30),
        "n_cache": (n_cache, 0, 1 << 30),
        "n_sequences": (n_sequences, 1, 1 << 12),
        "n_batch": (n_batch, 1, 1 << 20),
        "n_ubatch": (n_ubatch, 1, 1 << 20),
        "n_threads": (1 if n_threads is None else n_threads, 1, 1 << 12),
    }
    for option, (value, low, high) in limits.items():
        if not low <= value <= high:
            raise UsageError(f"{option} is {value}; allowed are {low} to {high}")


def _check_cache_rows(config: DecoderConfig, cache_type_k: str, cache_type_v: str) -> None:
    for option, value, size in (
        ("cache_type_k", cache_type_k, config.key_size),
        ("cache_type_v", cache_type_v, config.value_size),
    ):
        if value == "q8_0" and size % 32:
            raise UsageError(
                f"{option} is q8_0, which needs heads of a multiple of 32 numbers; this model's have {size}"
            )
