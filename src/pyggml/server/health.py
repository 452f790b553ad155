"""GET /health."""

from fastapi import APIRouter

router = APIRouter(tags=["server"])


@router.get("/health")
@router.get("/v1/health")
async def health() -> dict[str, str]:
    """Tell that the model is loaded and requests are served."""
    return {"status": "ok"}
