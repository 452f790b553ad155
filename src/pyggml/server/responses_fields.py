"""The body of OpenAI's responses API, and the chat request that it stands for."""

import logging
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, Tag
from pydantic import Discriminator as By

from pyggml.errors import UsageError
from pyggml.server.chat_fields import ChatRequest
from pyggml.server.fields import Count, GenerationFields
from pyggml.server.structure import ResponseFormat

_logger = logging.getLogger(__name__)
_LOGPROBS = "message.output_text.logprobs"
_TEXTS = frozenset({"input_text", "output_text", "text"})


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore")


class ContentPart(_Part):
    """A part of a message's content, or of what came of a call."""

    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: str | None = None


class MessageItem(_Part):
    """A message of the conversation."""

    type: Literal["message"] = "message"
    role: str = Field(min_length=1)
    content: str | list[ContentPart]


class CallItem(_Part):
    """A call that the model made."""

    type: Literal["function_call"]
    call_id: str
    name: str
    arguments: str


class ResultItem(_Part):
    """What came of a call."""

    type: Literal["function_call_output"]
    call_id: str
    output: str | list[ContentPart]


class ReasoningItem(_Part):
    """What the model thought; a model that does not think has no use for it."""

    type: Literal["reasoning"]


def _kind(item: Any) -> str:
    """The type of an item; messages need not say theirs."""
    given = item.get("type") if isinstance(item, dict) else getattr(item, "type", None)
    return "message" if given is None else str(given)


Item = Annotated[
    Annotated[MessageItem, Tag("message")]
    | Annotated[CallItem, Tag("function_call")]
    | Annotated[ResultItem, Tag("function_call_output")]
    | Annotated[ReasoningItem, Tag("reasoning")],
    By(_kind),
]


class ResponseTool(_Part):
    """A tool; only functions come to the model."""

    type: str
    name: str | None = None
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class ToolByName(_Part):
    """The one tool that is to be called."""

    type: Literal["function"]
    name: str


class TextFormat(ResponseFormat):
    """What the text of the answer obeys; here the schema has no wrapping of its own."""


class TextConfig(_Part):
    """How the text of the answer is to be."""

    format: TextFormat | None = None


class ResponsesRequest(GenerationFields):
    """The body of /v1/responses; the samplers have the fields of /v1/chat/completions, too."""

    input: str | list[Item]
    instructions: str | None = None
    max_output_tokens: int | None = Field(None, ge=1)
    tools: list[ResponseTool] = Field(default_factory=list)
    tool_choice: Literal["none", "auto", "required"] | ToolByName = "auto"
    parallel_tool_calls: bool = True
    text: TextConfig | None = None
    include: list[str] = Field(default_factory=list)
    top_logprobs: int = Field(0, ge=0)
    n_probs: Count = 0
    metadata: dict[str, Any] = Field(default_factory=dict)
    chat_template_kwargs: dict[str, Any] = Field(default_factory=dict)
    previous_response_id: str | None = None
    conversation: Any = None
    background: bool = False

    @property
    def wants_logprobs(self) -> bool:
        """Whether the probabilities of tokens are to be shown."""
        return _LOGPROBS in self.include or self.top_logprobs > 0

    def to_chat(self) -> ChatRequest:
        """The same, as /v1/chat/completions has it. Raises UsageError for what this server does not have."""
        for name in ("previous_response_id", "conversation", "background"):
            if getattr(self, name):
                raise UsageError(f"{name}: responses are not kept here; send the whole conversation as input")
        shared = self.model_dump(include=set(GenerationFields.model_fields), exclude_unset=True)
        limit = {} if self.max_output_tokens is None else {"n_predict": self.max_output_tokens}
        named = self.tool_choice
        return ChatRequest.model_validate(
            {
                **shared,
                **limit,
                "n_cmpl": 1,
                "messages": self._messages(),
                "tools": [tool for given in self.tools if (tool := _tool(given))],
                "tool_choice": {"function": {"name": named.name}} if isinstance(named, ToolByName) else named,
                "parallel_tool_calls": self.parallel_tool_calls,
                "response_format": self.text and self.text.format and self.text.format.model_dump(by_alias=True),
                "chat_template_kwargs": self.chat_template_kwargs,
                **({"logprobs": True, "top_logprobs": self.top_logprobs} if self.wants_logprobs else {}),
            }
        )

    def _messages(self) -> list[dict[str, Any]]:
        messages: list[dict[str, Any]] = []
        if self.instructions is not None:
            messages.append({"role": "system", "content": self.instructions})
        if isinstance(self.input, str):
            return [*messages, {"role": "user", "content": self.input}]
        for index, item in enumerate(self.input):
            _add(messages, item, f"input[{index}]")
        if not messages:
            raise UsageError("input: there is no message in it")
        return messages


def _add(messages: list[dict[str, Any]], item: Item, place: str) -> None:
    """Add an item to the conversation; texts and calls of the model that follow each other are one message."""
    if isinstance(item, MessageItem) and item.role == "assistant":
        text = _text(item.content, f"{place}.content")
        if messages and messages[-1]["role"] == "assistant":
            messages[-1]["content"] += text
        else:
            messages.append({"role": "assistant", "content": text})
    elif isinstance(item, MessageItem):
        messages.append({"role": item.role, "content": _content(item.content, f"{place}.content")})
    elif isinstance(item, CallItem):
        if not messages or messages[-1]["role"] != "assistant":
            messages.append({"role": "assistant", "content": ""})
        function = {"name": item.name, "arguments": item.arguments}
        messages[-1].setdefault("tool_calls", []).append({"id": item.call_id, "function": function})
    elif isinstance(item, ResultItem):
        content = _content(item.output, f"{place}.output")
        messages.append({"role": "tool", "tool_call_id": item.call_id, "content": content})


def _content(content: str | list[ContentPart], place: str) -> str | list[dict[str, Any]]:
    """A content as /v1/chat/completions has it; text alone stays one string, which every template takes."""
    if isinstance(content, str) or all(part.type != "input_image" for part in content):
        return _text(content, place)
    return [
        {"type": "image_url", "image_url": {"url": _picture(part, f"{place}[{index}]")}}
        if part.type == "input_image"
        else {"type": "text", "text": _words(part, f"{place}[{index}]")}
        for index, part in enumerate(content)
    ]


def _text(content: str | list[ContentPart], place: str) -> str:
    """A content that has to be text."""
    if isinstance(content, str):
        return content
    return "\n".join(_words(part, f"{place}[{index}]") for index, part in enumerate(content))


def _words(part: ContentPart, place: str) -> str:
    text = part.refusal if part.type == "refusal" else part.text if part.type in _TEXTS else None
    if text is None:
        raise UsageError(f"{place} is of type {part.type!r}: only text is taken, and input_image outside answers")
    return text


def _picture(part: ContentPart, place: str) -> str:
    if part.image_url is None:
        raise UsageError(f"{place}.image_url: missing; files are not kept here, so send the picture itself")
    return part.image_url


def _tool(tool: ResponseTool) -> dict[str, Any] | None:
    """A function as chats have it; None for what the server would have to do itself."""
    if tool.type != "function":
        _logger.warning("a tool of type %s is left out: the model can only call functions", tool.type)
        return None
    if tool.name is None:
        raise UsageError("tools: a function has no name")
    return {"type": "function", "function": tool.model_dump(exclude={"type"}, exclude_none=True)}
