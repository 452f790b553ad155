"""Model files from the network: plain URLs, Hugging Face and ModelScope, kept in a cache."""

from pyggml.hub.cache import cache_directory
from pyggml.hub.endpoints import Endpoints, default_endpoints
from pyggml.hub.repository import resolve_huggingface, resolve_modelscope
from pyggml.hub.session import Network
from pyggml.hub.transfer import Progress
from pyggml.hub.url import download_url

__all__ = [
    "Endpoints",
    "Network",
    "Progress",
    "cache_directory",
    "default_endpoints",
    "download_url",
    "resolve_huggingface",
    "resolve_modelscope",
]
