"""Downloads from plain URLs."""

import hashlib
from pathlib import Path
from urllib.parse import quote, unquote

from pyggml.errors import UsageError
from pyggml.hub.endpoints import authorization, default_endpoints, parse_url
from pyggml.hub.names import all_shards, is_safe_path
from pyggml.hub.session import Network, Session
from pyggml.hub.transfer import Progress, Source, fetch

_N_KEY_CHARACTERS = 16


def download_url(
    url: str,
    cache: Path,
    *,
    sha256: str | None = None,
    token: str | None = None,
    endpoint: str | None = None,
    progress: Progress | None = None,
    network: Network | None = None,
) -> Path:
    """Download a file, or all shards if the URL names a shard of a split file; give the first one's path.

    On later calls the server is asked whether the file has changed. The token goes to the Hugging Face endpoint
    alone. Raises UsageError for what is no such URL, DownloadError for what cannot be had.
    """
    parsed = parse_url(url)
    folder, _, last = parsed.raw_path.decode("ascii").partition("?")[0].rpartition("/")
    names = all_shards(_file_name(unquote(last)))
    if sha256 is not None and len(names) > 1:
        raise UsageError(f"{url}: one SHA-256 cannot be that of {len(names)} shards")
    # The name is not in the key: shards share a folder. The query is: it may choose the file.
    key = hashlib.sha256(str(parsed.copy_with(path=f"{folder}/")).encode()).hexdigest()
    headers = authorization(parsed, parse_url(endpoint or default_endpoints().huggingface), token)
    folder_in_cache = cache / "models" / "url" / key[:_N_KEY_CHARACTERS]
    files = []
    with Session(network or Network()) as session:
        for name in names:
            path = f"{folder}/{quote(name) if len(names) > 1 else last}"
            source = Source(str(parsed.copy_with(path=path)), sha256.lower() if sha256 else None, None, headers)
            files.append(fetch(session, source, folder_in_cache / name, progress))
    return files[0]


def _file_name(name: str) -> str:
    """Make a file name of the last part of a URL's path; it always ends with .gguf, as no file beside it does."""
    if "/" in name or not is_safe_path(name):
        return "model.gguf"
    return name if name.endswith(".gguf") else f"{name}.gguf"
