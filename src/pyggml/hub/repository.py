"""Models by name, `user/repo[:quant]`, from Hugging Face and ModelScope."""

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from pyggml.errors import DownloadError, UsageError
from pyggml.hub.endpoints import authorization, default_endpoints, parse_url
from pyggml.hub.names import DEFAULT_TAGS, all_shards, choose_model, choose_tower, is_safe_path
from pyggml.hub.session import Network, Session, UnreachableError
from pyggml.hub.transfer import Progress, Source, fetch

MAX_PAGES = 100
MAX_LISTED = 40

_REPOSITORY = re.compile(r"\w+(?:[.-]\w+)*/\w+(?:[.-]\w+)*", re.ASCII)
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Hub:
    """One of the hubs: its folder in the cache, its address, and how to list a repository's files."""

    folder: Path
    endpoint: httpx.URL
    list_files: Callable[[Session, str], dict[str, Source]]


@dataclass(frozen=True)
class _Wanted:
    """Which file of a repository: one by its name, the vision tower of a model that is there, or a model by its tag."""

    tag: str
    file: str | None
    tower_of: Path | None
    """The model, as it lies in the cache."""


def resolve_huggingface(
    name: str,
    cache: Path,
    *,
    file: str | None = None,
    tower_of: Path | None = None,
    endpoint: str | None = None,
    token: str | None = None,
    progress: Progress | None = None,
    network: Network | None = None,
) -> Path:
    """Have the model `user/repo[:quant]` of Hugging Face in the cache; give its file, of a split one the first.

    `file` names a GGUF file of the repository itself; `tower_of` asks for the vision tower of a model that an earlier
    call gave. Otherwise the quant chooses: without one it is Q4_K_M, else Q8_0, else the repository's first model.
    Raises UsageError for a malformed name, DownloadError for what cannot be had.
    """
    base = parse_url(endpoint or default_endpoints().huggingface)
    headers = authorization(base, base, token)

    def list_files(session: Session, repository: str) -> dict[str, Source]:
        return _list_huggingface(session, base, repository, headers)

    hub = _Hub(cache / "models" / "huggingface", base, list_files)
    return _resolve(hub, name, file, tower_of, progress, network or Network())


def resolve_modelscope(
    name: str,
    cache: Path,
    *,
    tower_of: Path | None = None,
    endpoint: str | None = None,
    progress: Progress | None = None,
    network: Network | None = None,
) -> Path:
    """Have the public model `user/repo[:quant]` of ModelScope in the cache; as `resolve_huggingface`."""
    base = parse_url(endpoint or default_endpoints().modelscope)

    def list_files(session: Session, repository: str) -> dict[str, Source]:
        return _list_modelscope(session, base, repository)

    hub = _Hub(cache / "models" / "modelscope", base, list_files)
    return _resolve(hub, name, None, tower_of, progress, network or Network())


def _resolve(
    hub: _Hub, name: str, file: str | None, tower_of: Path | None, progress: Progress | None, network: Network
) -> Path:
    repository, _, tag = name.partition(":")
    if not _REPOSITORY.fullmatch(repository) or re.search(r"[:/\\]", tag):
        raise UsageError(f"{name!r} is no model name: it should be user/repo or user/repo:quant, such as a/b:Q4_K_M")
    folder, wanted = hub.folder / repository, _Wanted(tag, file, tower_of)
    where = f"{hub.endpoint.netloc.decode('ascii')}/{repository}"
    if network.offline:
        return _find_cached(folder, where, wanted)
    with Session(network) as session:
        try:
            sources = hub.list_files(session, repository)
        except UnreachableError as error:
            return _fall_back(error, folder, where, wanted)
        chosen = _choose(list(sources), where, wanted, folder)
        missing = [shard for shard in chosen if shard not in sources]
        if missing:
            raise DownloadError(f"{where}: the split model lacks {_listed(missing)}: choose another")
        shards = [fetch(session, sources[shard], folder / shard, progress) for shard in chosen]
    return shards[0]


def _fall_back(error: UnreachableError, folder: Path, where: str, wanted: _Wanted) -> Path:
    try:
        path = _find_cached(folder, where, wanted)
    except DownloadError:
        raise error from None
    _logger.warning("%s; using the copy in the cache, %s", error, path)
    return path


def _find_cached(folder: Path, where: str, wanted: _Wanted) -> Path:
    cached = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.gguf") if path.is_file())
    if not cached:
        raise DownloadError(f"nothing of {where} is in the cache ({folder}): run once without --offline")
    chosen = _choose(cached, f"the cache of {where}", wanted, folder)
    missing = [shard for shard in chosen if shard not in cached]
    if missing:
        raise DownloadError(f"the cache lacks {_listed(missing)} of {where} ({folder}): run once without --offline")
    return folder / chosen[0]


def _choose(paths: list[str], where: str, wanted: _Wanted, folder: Path) -> list[str]:
    """Choose what is wanted; give all its shards."""
    tag, file = wanted.tag, wanted.file
    if wanted.tower_of is not None:
        tower = choose_tower(paths, wanted.tower_of.relative_to(folder).as_posix())
        if tower is None:
            raise DownloadError(
                f"{where} has no vision tower, a file with mmproj in its name, for {wanted.tower_of.name}"
            )
        return all_shards(tower)
    chosen = choose_model(paths, tag) if file is None else file if file in paths else None
    if chosen is not None:
        return all_shards(chosen)
    ggufs = [path for path in paths if path.endswith(".gguf")]
    if not ggufs:
        raise DownloadError(f"{where} has no GGUF file: look for a repository of GGUF conversions of this model")
    asked = f"of quantization {tag!r}" if tag else f"that is a model, {' or '.join(DEFAULT_TAGS)} or other"
    asked = asked if file is None else f"named {file!r}"
    raise DownloadError(f"{where} has no GGUF file {asked}; it has {_listed(ggufs)}")


def _listed(paths: list[str]) -> str:
    more = f" and {len(paths) - MAX_LISTED} more" if len(paths) > MAX_LISTED else ""
    return ", ".join(paths[:MAX_LISTED]) + more


def _list_huggingface(
    session: Session, endpoint: httpx.URL, repository: str, headers: Mapping[str, str]
) -> dict[str, Source]:
    """List the files of a repository by `GET /api/models/{repository}/tree/main`, page by page."""
    base = str(endpoint).rstrip("/")
    url = f"{base}/api/models/{repository}/tree/main?recursive=true"
    files: dict[str, Source] = {}
    for _ in range(MAX_PAGES):
        entries, response = session.get_json(url, headers)
        for entry in _objects(entries, url):
            large = entry.get("lfs")
            large = large if isinstance(large, dict) else {}
            if entry.get("type") == "file" and _is_usable(entry.get("path")):
                source = f"{base}/{repository}/resolve/main/{quote(entry['path'])}"
                size = large.get("size", entry.get("size"))
                files[entry["path"]] = Source(source, _sha256(large.get("oid")), _size(size), headers)
        following = response.links.get("next", {}).get("url")
        if following is None:
            break
        # Only the query is taken over: the token is for the endpoint, wherever the link points.
        url = str(httpx.URL(url).copy_with(query=httpx.URL(following).query))
    return files


def _list_modelscope(session: Session, endpoint: httpx.URL, repository: str) -> dict[str, Source]:
    """List the files of a repository by `GET /api/v1/models/{repository}/repo/files`."""
    base = str(endpoint).rstrip("/")
    url = f"{base}/api/v1/models/{repository}/repo/files?Revision=master&Recursive=true"
    answer, _ = session.get_json(url, {})
    data = answer.get("Data") if isinstance(answer, dict) else None
    files: dict[str, Source] = {}
    for entry in _objects(data.get("Files") if isinstance(data, dict) else None, url):
        if entry.get("Type") != "tree" and _is_usable(entry.get("Path")):
            source = f"{base}/models/{repository}/resolve/master/{quote(entry['Path'])}"
            # ModelScope says 0 where it does not know.
            files[entry["Path"]] = Source(source, _sha256(entry.get("Sha256")), _size(entry.get("Size")) or None)
    return files


def _objects(entries: object, url: str) -> list[dict[str, Any]]:
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise DownloadError(f"{url}: the answer is not a list of files; is this the address of a model hub?")
    return entries


def _is_usable(path: object) -> bool:
    return isinstance(path, str) and path.endswith(".gguf") and is_safe_path(path)


def _sha256(value: object) -> str | None:
    return value.lower() if isinstance(value, str) and _SHA256.fullmatch(value) else None


def _size(value: object) -> int | None:
    return value if type(value) is int and value >= 0 else None
