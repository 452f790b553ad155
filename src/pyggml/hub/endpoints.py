"""Where the hubs are, and who gets the token."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

import httpx

from pyggml.errors import UsageError

_TOKEN = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True)
class Endpoints:
    """The web addresses of the two hubs."""

    huggingface: str
    modelscope: str


def default_endpoints(environment: Mapping[str, str] = os.environ) -> Endpoints:
    """Take MODEL_ENDPOINT or HF_ENDPOINT, and MODELSCOPE_ENDPOINT, from the environment; else the usual ones."""
    return Endpoints(
        environment.get("MODEL_ENDPOINT") or environment.get("HF_ENDPOINT") or "https://huggingface.co",
        environment.get("MODELSCOPE_ENDPOINT") or "https://www.modelscope.cn",
    )


def parse_url(text: str) -> httpx.URL:
    """Parse the URL of something to download, without its fragment. Raises UsageError if it is none."""
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        raise UsageError(f"{text!r} is no URL: {error}") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise UsageError(f"{text!r} is no URL to download from: it should start with https:// or http:// and a host")
    return url.copy_with(fragment=None)


def authorization(url: httpx.URL, endpoint: httpx.URL, token: str | None) -> dict[str, str]:
    """Give the header with the token if the URL is of the endpoint's origin; otherwise none."""
    if not token or (url.scheme, url.host, url.port) != (endpoint.scheme, endpoint.host, endpoint.port):
        return {}
    if not _TOKEN.fullmatch(token):
        raise UsageError("the token (HF_TOKEN, --hf-token) has blanks or non-ASCII characters: copy it again")
    return {"Authorization": f"Bearer {token}"}
