"""The body of a chat request: messages, tools, and what the answer has to be like."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from pyggml.errors import UsageError
from pyggml.sampling import SamplingOptions
from pyggml.server.fields import Count, GenerationFields
from pyggml.server.service import Service
from pyggml.server.structure import StructureFields

_TOP_LOGPROBS = 20


class _Part(BaseModel):
    """An object inside a body; fields that are not known are left aside."""

    model_config = ConfigDict(extra="ignore")


class ImageUrl(_Part):
    """Where a picture is: its data as base64, with or without what a data URL has before them, or an address."""

    url: str


class ContentPart(_Part):
    """A part of a message's content."""

    type: str
    text: str | None = None
    image_url: ImageUrl | str | None = None

    @property
    def picture(self) -> str | None:
        """Where the picture is that this part shows, if it does."""
        if self.type != "image_url" or self.image_url is None:
            return None
        return self.image_url if isinstance(self.image_url, str) else self.image_url.url


class CalledFunction(_Part):
    """The function that the model called; its arguments are JSON as text, as the API has it, or an object."""

    name: str
    arguments: str | dict[str, Any] = "{}"


class MessageCall(_Part):
    """A call in an earlier message of the model."""

    id: str = ""
    type: Literal["function"] = "function"
    function: CalledFunction


class ChatMessage(_Part):
    """One message of the conversation."""

    role: str = Field(min_length=1)
    content: str | list[ContentPart] | None = None
    name: str | None = None
    tool_calls: list[MessageCall] | None = None
    tool_call_id: str | None = None


class Function(_Part):
    """What the model may call."""

    name: str = Field(min_length=1)
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(_Part):
    """A tool; there are only functions."""

    type: Literal["function"]
    function: Function


class ChosenFunction(_Part):
    """A function by its name."""

    name: str


class ToolChoice(_Part):
    """The one tool that is to be called."""

    type: Literal["function"] = "function"
    function: ChosenFunction


class ChatRequest(GenerationFields, StructureFields):
    """The body of /v1/chat/completions; the bodies of the other chat APIs are turned into it."""

    messages: list[ChatMessage]
    tools: list[Tool] = Field(default_factory=list)
    tool_choice: Literal["none", "auto", "required"] | ToolChoice = "auto"
    parallel_tool_calls: bool = True
    n_probs: Count = 0
    logprobs: bool = False
    top_logprobs: Count | None = None
    add_generation_prompt: bool | None = None
    continue_final_message: bool | None = None
    chat_template_kwargs: dict[str, Any] = Field(default_factory=dict)
    functions: None = None
    function_call: None = None

    @field_validator("functions", "function_call", mode="before")
    @classmethod
    def _refuse_functions(cls, value: Any) -> None:
        raise ValueError("is the older form of 'tools' and 'tool_choice'; use these")

    @property
    def n_top(self) -> int | None:
        """How many tokens to show with each token of the answer, beside itself; None: not even that."""
        if self.logprobs:
            return _TOP_LOGPROBS if self.top_logprobs is None else self.top_logprobs
        if self.top_logprobs is not None:
            raise UsageError("top_logprobs needs logprobs to be true")
        return self.n_probs or None

    def sampling(self, service: Service, **changed: Any) -> SamplingOptions:
        """See `SamplingFields.sampling`."""
        n_probs = 0 if self.n_top is None else max(1, self.n_top)
        return super().sampling(service, **{"n_probs": n_probs, **changed})

    @property
    def chosen_tools(self) -> list[Tool]:
        """The tools that may be called. Raises UsageError for a choice that there is not."""
        if isinstance(self.tool_choice, ToolChoice):
            name = self.tool_choice.function.name
            if chosen := [tool for tool in self.tools if tool.function.name == name]:
                return chosen
            names = ", ".join(tool.function.name for tool in self.tools) or "none at all"
            raise UsageError(f"tool_choice: there is no tool {name!r}; there are {names}")
        if self.tool_choice == "required" and not self.tools:
            raise UsageError("tool_choice is required, and there are no tools")
        return [] if self.tool_choice == "none" else self.tools

    @property
    def has_pictures(self) -> bool:
        """Whether a message shows a picture."""
        return any(part.picture for each in self.messages if isinstance(each.content, list) for part in each.content)

    @property
    def is_slow(self) -> bool:
        """Whether it may take long to know what is asked for: grammars do, and so do pictures."""
        return self.has_structure or bool(self.tools) or self.has_pictures

    @property
    def is_call_required(self) -> bool:
        """Whether the answer has to be a call."""
        return self.tool_choice not in ("none", "auto")
