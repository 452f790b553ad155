"""Answers that have to obey something: the fields `grammar`, `json_schema` and `response_format`."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from pyggml.engine import GenerationRequest
from pyggml.errors import UsageError
from pyggml.grammar import ANY_OBJECT, GrammarConstraint, Grammars, Schema

_JsonSchema = dict[str, Any] | bool


class SchemaFormat(BaseModel):
    """A JSON schema, as OpenAI wraps it."""

    model_config = ConfigDict(extra="ignore")
    schema_: _JsonSchema | None = Field(None, alias="schema")


class ResponseFormat(SchemaFormat):
    """What OpenAI's `response_format` says; llama-server takes a schema beside json_object, too."""

    type: Literal["text", "json_object", "json_schema"] = "text"
    json_schema: SchemaFormat | None = None

    @property
    def schema_of_answer(self) -> Schema | None:
        """The schema that the answer obeys; None for any text. Raises UsageError if it is missing."""
        if self.type == "text":
            return None
        found = self.json_schema.schema_ if self.json_schema else self.schema_
        if found is None and self.type == "json_schema":
            raise UsageError("response_format: json_schema.schema is missing; a JSON schema is needed")
        return ANY_OBJECT if found is None else found


class StructureFields(BaseModel):
    """The fields by which a request says what its answer obeys."""

    grammar: str = ""
    json_schema: _JsonSchema | None = None
    response_format: ResponseFormat | None = None

    @property
    def has_structure(self) -> bool:
        """Whether the answer has to obey something."""
        return bool(self.grammar) or self.json_schema is not None or self.response_format is not None

    @property
    def schema_of_answer(self) -> Schema | None:
        """The schema that the answer obeys, if there is one. Raises UsageError for two structures at once."""
        schema = self.response_format.schema_of_answer if self.response_format else None
        if self.json_schema is not None:
            if schema not in (None, ANY_OBJECT):
                raise UsageError("response_format and json_schema both give a schema: give one of them")
            schema = self.json_schema
        if schema is not None and self.grammar:
            raise UsageError("a grammar and a JSON schema cannot be followed at once: give one of them")
        # As in llama-server, a schema that says nothing stands for any object.
        return ANY_OBJECT if schema == {} else schema

    def constraint(self, grammars: Grammars) -> GrammarConstraint | None:
        """What the answer obeys, if anything. Raises GrammarError for what cannot be enforced, UsageError."""
        schema = self.schema_of_answer
        if self.grammar:
            return grammars.gbnf(self.grammar)
        return None if schema is None else grammars.json(schema)


def constrained(requests: Iterable[GenerationRequest], constraint: GrammarConstraint | None) -> list[GenerationRequest]:
    """The requests, each with a constraint of its own."""
    return [replace(request, constraint=constraint and constraint.copy()) for request in requests]
