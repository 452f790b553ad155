"""Every error that pyggml raises for its users.

A message says what is wrong, where (file, tensor, key, option), what was found, what is allowed and what to do.
The command line prints the message alone and leaves with `exit_code`.
"""

from typing import ClassVar


class PyggmlError(Exception):
    """The root of all of them."""

    exit_code: ClassVar[int] = 1


class UsageError(PyggmlError):
    """An option, argument or combination of them that cannot work."""

    exit_code = 2


class GGUFError(PyggmlError):
    """A file that is not a sound GGUF file, or lacks what was asked of it."""


class ModelError(PyggmlError):
    """A sound GGUF file that is no model pyggml can run: unknown architecture, missing tensor, wrong shape."""


class DeviceError(PyggmlError):
    """A GPU that fails."""


class DeviceMemoryError(DeviceError):
    """A GPU whose memory is full."""


class CheckpointError(PyggmlError):
    """A Hugging Face checkpoint that is damaged, hostile, incomplete, or of a kind that cannot be converted."""


class QuantizeError(PyggmlError):
    """A model that cannot be quantized as asked: unknown type, missing or unfit importance, weights not finite."""


class EvaluationError(PyggmlError):
    """A text that is too short to measure a model on, or a file of measurements that is unsound or does not fit."""


class ImageError(PyggmlError):
    """A file that is no picture, a damaged one, or one of a size that cannot be."""


class TokenizerError(PyggmlError):
    """A vocabulary that cannot be used, or ids outside of it."""


class ChatTemplateError(PyggmlError):
    """A chat template that does not compile, is not known by that name, or fails on the messages given."""


class SamplingError(UsageError):
    """A sampling option outside its range."""


class GrammarError(UsageError):
    """A grammar or JSON schema that cannot be enforced, or that leaves no way to go on."""


class ContextError(PyggmlError):
    """A prompt, or a prompt with its answer, that does not fit into the context."""


class PromptTooLongError(ContextError):
    """A prompt of more tokens than the context takes."""

    def __init__(self, message: str, n_tokens: int, n_ctx: int) -> None:
        super().__init__(message)
        self.n_tokens = n_tokens
        self.n_ctx = n_ctx


class SessionFileError(PyggmlError):
    """A saved session that is damaged, or of another model or cache format."""


class DownloadError(PyggmlError):
    """A file that could not be fetched whole."""


class FormatError(PyggmlError):
    """A format of one's own that cannot be used: its file or package, its name, or that of the model does not fit."""


class QueueFullError(PyggmlError):
    """More requests than may wait; try again later."""


class StoppedError(PyggmlError):
    """A request that came, or was still running, when the engine stopped."""


class MissingExtraError(PyggmlError):
    """A part of pyggml whose dependencies are not installed."""
