"""GET /models and GET /props: what is being served."""

import time
from typing import Annotated, Any

from fastapi import APIRouter, Depends

from pyggml import __version__
from pyggml.engine import GenerationOptions
from pyggml.sampling import SamplingOptions
from pyggml.server.errors import ApiError
from pyggml.server.service import Service, service_of
from pyggml.server.settings import default_settings_json

router = APIRouter(tags=["server"])
#: llama.cpp's numbers of the kinds of vocabularies, by the name in the file.
_VOCABULARIES = {"llama": 1, "gpt2": 2, "bert": 3, "t5": 4, "rwkv": 5, "plamo2": 6}


@router.get("/models")
@router.get("/v1/models")
async def list_models(service: Annotated[Service, Depends(service_of)]) -> dict[str, Any]:
    """The one model that is served, for OpenAI's clients and for Ollama's."""
    name = service.name
    empty = {"modified_at": "", "size": "", "digest": "", "description": "", "parameters": ""}
    details = {"parent_model": "", "family": "", "parameter_size": "", "quantization_level": ""}
    return {
        "models": [
            {
                "name": name,
                "model": name,
                "type": "model",
                **empty,
                "tags": [""],
                "capabilities": ["completion"],
                "details": {**details, "format": "gguf", "families": [""]},
            }
        ],
        "object": "list",
        "data": [
            {
                "id": name,
                "aliases": sorted(service.options.aliases),
                "tags": [],
                "object": "model",
                "architecture": {"input_modalities": _modalities(service), "output_modalities": ["text"]},
                "created": int(time.time()),
                "owned_by": "llamacpp",
                "meta": _meta(service),
            }
        ],
    }


def _modalities(service: Service) -> list[str]:
    return ["text"] if service.model.tower is None else ["text", "image"]


def _meta(service: Service) -> dict[str, Any]:
    model, tensors = service.model, service.model.file.tensors.values()
    return {
        "vocab_type": _VOCABULARIES.get(model.file.get("tokenizer.ggml.model", str, ""), 0),
        "n_vocab": model.config.n_vocab,
        "n_ctx": model.n_ctx,
        "n_ctx_train": model.n_ctx_train,
        "n_embd": model.config.n_embd,
        "n_params": sum(info.n_elements for info in tensors),
        "size": sum(info.n_bytes for info in tensors),
        "ftype": service.file_type,
    }


@router.get("/props")
async def props(service: Annotated[Service, Depends(service_of)]) -> dict[str, Any]:
    """How the server was started."""
    options, model, template = service.options, service.model, service.chat_template
    sampling = SamplingOptions.from_metadata(model.file.metadata, **options.sampling)
    defaults = default_settings_json(sampling, GenerationOptions(options.n_predict))
    tokenizer = model.tokenizer
    return {
        "default_generation_settings": {"params": defaults, "n_ctx": model.n_ctx},
        "total_slots": service.scheduler.n_slots,
        "model_alias": service.name,
        "model_ftype": service.file_type,
        "model_path": str(model.file.path),
        "modalities": {"vision": model.tower is not None, "video": False, "audio": False},
        "media_marker": "<__media__>",
        "endpoint_slots": options.slots_endpoint,
        "endpoint_props": options.props_endpoint,
        "endpoint_metrics": options.metrics_endpoint,
        "ui": options.page,
        "ui_settings": {},
        "chat_template": template.source if template else "",
        "chat_template_caps": {},
        "bos_token": "" if tokenizer.bos is None else tokenizer.text(tokenizer.bos),
        "eos_token": "" if tokenizer.eos is None else tokenizer.text(tokenizer.eos),
        "build_info": f"pyggml-{__version__}",
        "is_sleeping": False,
        "cors_proxy_enabled": False,
    }


@router.post("/props")
async def change_props(service: Annotated[Service, Depends(service_of)]) -> dict[str, bool]:
    """Change nothing, for there is nothing to change yet, in llama-server neither."""
    if not service.options.props_endpoint:
        raise ApiError(501, "This server does not support changing global properties. Start it with `--props`")
    return {"success": True}
