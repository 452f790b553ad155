"""From a chat request to what the scheduler is asked for, and to the answers that come of it."""

from pyggml.engine import GenerationRequest
from pyggml.errors import GrammarError, UsageError
from pyggml.grammar import ANY_OBJECT, GrammarConstraint, Grammars, ToolSchema
from pyggml.server.chat_answer import ChatAnswer
from pyggml.server.chat_fields import ChatRequest, Function, ToolChoice
from pyggml.server.chat_prompt import chat_tokens
from pyggml.server.service import Service
from pyggml.server.structure import constrained


def chat_requests(body: ChatRequest, service: Service) -> list[GenerationRequest]:
    """One for each answer. It may take seconds: the first grammar of a model does.

    Raises UsageError, ChatTemplateError, TokenizerError for what cannot be.
    """
    constraint = _constraint(body, service.grammars)
    return constrained(body.requests(service, [chat_tokens(body, service)]), constraint)


def chat_answers(body: ChatRequest, service: Service, n_answers: int) -> list[ChatAnswer]:
    """The answers, before there is anything of them."""
    return [
        ChatAnswer(
            service.model.tokenizer,
            has_tools=bool(body.chosen_tools),
            n_top=body.n_top,
            post_sampling=body.post_sampling_probs,
        )
        for _ in range(n_answers)
    ]


def _constraint(body: ChatRequest, grammars: Grammars) -> GrammarConstraint | None:
    tools = body.chosen_tools
    if not tools:
        return body.constraint(grammars)
    if body.grammar:
        raise UsageError("grammar: it cannot be followed beside tools; leave one of them out")
    return grammars.tools(
        [_tool_schema(grammars, tool.function) for tool in tools],
        required=body.is_call_required,
        parallel=body.parallel_tool_calls and not isinstance(body.tool_choice, ToolChoice),
        content=body.schema_of_answer,
    )


def _tool_schema(grammars: Grammars, function: Function) -> ToolSchema:
    """What a call obeys; any object if the schema cannot be enforced, and `strict` says that it need not be."""
    schema = {"type": "object", "properties": {}} if function.parameters is None else function.parameters
    if function.strict is False:
        try:
            grammars.json(schema)
        except GrammarError:
            schema = dict(ANY_OBJECT)
    return ToolSchema(function.name, schema)
