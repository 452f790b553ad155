"""GET /slots, and POST /slots/{id}?action=save|restore|erase."""

import asyncio
import re
import time
import unicodedata
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import ValidationError

from pyggml.engine import SlotState
from pyggml.server.errors import ApiError, describe_invalid
from pyggml.server.fields import RequestBody
from pyggml.server.service import Service, service_of
from pyggml.server.settings import short_settings_json

router = APIRouter(tags=["slots"])
_FORBIDDEN = re.compile(r'[/\\:*?"<>|\u2215\u2216\uff0e\ufffd\ufeff]')
_LONGEST_NAME = 255


class SlotFile(RequestBody):
    """The body of save and restore."""

    filename: str


@router.get("/slots")
async def list_slots(
    service: Annotated[Service, Depends(service_of)], fail_on_no_slot: str = ""
) -> list[dict[str, Any]]:
    """What each slot is doing."""
    if not service.options.slots_endpoint:
        raise ApiError(501, "This server does not support slots endpoint. Start it with `--slots`")
    states = service.scheduler.slots()
    if fail_on_no_slot and all(state.request for state in states):
        raise ApiError(503, "no slot available")
    return [_slot_json(service, state) for state in states]


def _slot_json(service: Service, state: SlotState) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "id": state.id,
        "n_ctx": service.model.n_ctx,
        "speculative": False,
        "is_processing": state.request is not None,
    }
    request, timings = state.request or state.previous, state.timings
    if request is None or timings is None:
        return shown
    limit, n_decoded = request.generation.max_tokens, timings.n_generated
    return {
        **shown,
        "id_task": state.task,
        "n_prompt_tokens": state.n_evaluated,
        "n_prompt_tokens_processed": timings.n_prompt,
        "n_prompt_tokens_cache": timings.n_cached,
        "params": short_settings_json(request, stream=getattr(request.origin, "stream", False)),
        "next_token": [
            {
                "has_next_token": state.request is not None,
                "has_new_line": state.has_new_line,
                "n_remain": -1 if limit < 0 else limit - n_decoded,
                "n_decoded": n_decoded,
            }
        ],
    }


@router.post("/slots/{id_slot}")
async def act_on_slot(
    id_slot: str, client: Request, service: Annotated[Service, Depends(service_of)], action: str = ""
) -> dict[str, Any]:
    """Save what a slot keeps of its last request to a file, restore or erase it, once the slot is idle."""
    if service.options.slot_save_path is None:
        raise ApiError(501, "This server does not support slots action. Start it with `--slot-save-path`")
    slot = _slot_number(service, id_slot)
    if action == "erase":
        n_erased = await asyncio.wrap_future(service.scheduler.erase_slot(slot))
        return {"id_slot": slot, "n_erased": n_erased}
    if action not in ("save", "restore"):
        raise ApiError(400, f"Invalid action: {action!r}; allowed are save, restore and erase")
    name = file_name(await client.body())
    path, fingerprint, began = service.options.slot_save_path / name, service.model.fingerprint, time.perf_counter()
    act = service.scheduler.save_slot if action == "save" else service.scheduler.restore_slot
    n_tokens, n_bytes = await asyncio.wrap_future(act(slot, path, fingerprint))
    milliseconds = (time.perf_counter() - began) * 1e3
    tokens, size = ("n_saved", "n_written") if action == "save" else ("n_restored", "n_read")
    timings = {f"{action}_ms": milliseconds}
    return {"id_slot": slot, "filename": name, tokens: n_tokens, size: n_bytes, "timings": timings}


def _slot_number(service: Service, text: str) -> int:
    n_slots = service.scheduler.n_slots
    if not text.isascii() or not text.isdecimal() or int(text[:9]) >= n_slots:
        raise ApiError(400, f"Invalid slot ID: {text[:40]!r}; allowed are 0 to {n_slots - 1}")
    return int(text)


def file_name(body: bytes) -> str:
    """The file that a body names: one name, that leads to no other folder on any system. Raises ApiError."""
    try:
        name = SlotFile.model_validate_json(body).filename
    except ValidationError as error:
        raise ApiError(
            400, describe_invalid([{**each, "loc": ("body", *each["loc"])} for each in error.errors()])
        ) from error
    is_wrong = (
        not name
        or len(name.encode("utf-8", "replace")) > _LONGEST_NAME
        or ".." in name
        or name == "."
        or name[0] == " "
        or name[-1] in " ."
        or _FORBIDDEN.search(name)
        or any(unicodedata.category(character) in ("Cc", "Cs") for character in name)
        or Path(name).name != name
    )
    if is_wrong:
        raise ApiError(400, f"Invalid filename: {name[:80]!r} is no plain name of a file")
    return name
