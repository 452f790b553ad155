"""POST /tokenize, /detokenize and /apply-template: text to tokens and back, without generating."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import Field

from pyggml.engine import PICTURE_MARKER
from pyggml.server.chat_fields import ChatRequest
from pyggml.server.chat_pictures import ChatPictures
from pyggml.server.chat_prompt import chat_prompt, template_of
from pyggml.server.fields import RequestBody
from pyggml.server.prompts import Mixed, Token, tokens_of
from pyggml.server.service import Service, service_of
from pyggml.server.worker import read_prompt

router = APIRouter(tags=["tokens"])


class TokenizeRequest(RequestBody):
    """The body of /tokenize."""

    content: str | Mixed = ""
    add_special: bool = False
    parse_special: bool = True
    with_pieces: bool = False


class DetokenizeRequest(RequestBody):
    """The body of /detokenize."""

    tokens: list[Token] = Field(default_factory=list)


@router.post("/tokenize", response_model=None)
async def tokenize(
    body: TokenizeRequest, client: Request, service: Annotated[Service, Depends(service_of)]
) -> dict[str, list[Any]]:
    """The tokens of a text, with the text or the bytes of each if asked for."""
    tokens = await read_prompt(
        client,
        lambda: tokens_of(service.model, body.content, add_special=body.add_special, parse_special=body.parse_special),
    )
    if not body.with_pieces:
        return {"tokens": tokens}
    return {"tokens": [{"id": token, "piece": _piece(service, token)} for token in tokens]}


def _piece(service: Service, token: int) -> str | list[int]:
    piece = service.model.tokenizer.piece(token, special=True)
    try:
        return piece.decode()
    except UnicodeDecodeError:
        return list(piece)


@router.post("/detokenize", response_model=None)
async def detokenize(body: DetokenizeRequest, service: Annotated[Service, Depends(service_of)]) -> dict[str, str]:
    """The text of tokens."""
    return {"content": service.model.detokenize(body.tokens, special=True)}


@router.post("/apply-template", response_model=None)
async def apply_template(body: ChatRequest, service: Annotated[Service, Depends(service_of)]) -> dict[str, str]:
    """The prompt that a conversation becomes."""
    return {"prompt": chat_prompt(body, template_of(service), ChatPictures(PICTURE_MARKER))}
