"""Fetching one file into its slot of the cache: whole and verified, or not at all."""

import errno
import hashlib
import logging
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Protocol

import httpx

from pyggml.errors import DownloadError
from pyggml.hub.cache import Slot, Stamp
from pyggml.hub.lock import exclusive
from pyggml.hub.session import InterruptedDownloadError, Session, UnreachableError, shown

_SHA256 = re.compile(r'"?([0-9a-fA-F]{64})"?')
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)", re.ASCII)
_BLOCK_BYTES = 1 << 20
_logger = logging.getLogger(__name__)


class Progress(Protocol):
    """Told of every piece that arrives."""

    def __call__(self, name: str, done: int, total: int | None) -> None:
        """Hear that `done` bytes of a file are here, of `total` if the server said how many."""


@dataclass(frozen=True)
class Source:
    """A file on a server, and what is known of it beforehand."""

    url: str
    sha256: str | None = None
    size: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


def fetch(session: Session, source: Source, file: Path, progress: Progress | None) -> Path:
    """Have the file in the cache, downloading what is missing or was replaced on the server.

    One process downloads, others wait for it. If the server cannot be reached, a file from earlier will do, unless
    its hash is known to be another. Raises DownloadError.
    """
    slot = Slot(file)
    if session.network.offline:
        stamp = slot.stamp()
        if stamp is None or source.sha256 not in (None, stamp.sha256):
            which = "" if source.sha256 is None else f" with SHA-256 {source.sha256}"
            raise DownloadError(f"{shown(source.url)}{which} is not in the cache ({file}): run once without --offline")
        return file
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with exclusive(slot.lock):
            _fetch_locked(session, source, slot, progress)
    except OSError as error:
        raise DownloadError(_explain_storage(error, file)) from error
    return file


def _fetch_locked(session: Session, source: Source, slot: Slot, progress: Progress | None) -> None:
    stamp = slot.stamp()
    if stamp is not None and source.sha256 is not None and stamp.sha256 == source.sha256:
        return
    if stamp is not None and source.sha256 is None and stamp.size is not None and stamp.etag is None:
        return  # the server gave nothing to tell versions apart
    try:
        session.patiently(_Download(session, source, slot, stamp or Stamp(), progress).attempt, source.url)
    except UnreachableError as error:
        if stamp is None or source.sha256 is not None:
            raise
        _logger.warning("%s; using the copy in the cache, %s", error, slot.file)


@dataclass(frozen=True)
class _Download:
    """The attempts to get one file."""

    session: Session
    source: Source
    slot: Slot
    have: Stamp
    progress: Progress | None

    def attempt(self) -> None:
        """Make one attempt, going on where an earlier one broke off."""
        n_have = self.slot.part_size()
        part = self.slot.part_stamp()
        if n_have and not self._may_go_on(part):
            self.slot.discard()
            n_have = 0
        with self.session.get(self.source.url, self._headers(n_have, part)) as response:
            match response.status_code:
                case httpx.codes.OK | httpx.codes.PARTIAL_CONTENT:
                    stamp = self._receive(response, n_have, part)
                case httpx.codes.NOT_MODIFIED if self.have.etag is not None:
                    return
                case httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE if n_have and n_have == part.size:
                    stamp = part  # it broke off between the last byte and the renaming
                case httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE if n_have:
                    self.slot.discard()
                    raise InterruptedDownloadError("the server does not have the rest of the file")
                case status:
                    raise DownloadError(f"{shown(self.source.url)}: unexpected answer, status {status}")
        self._verify(stamp)
        self.slot.begin(replace(stamp, size=self.slot.part_size()))
        self.slot.finish()

    def _may_go_on(self, part: Stamp) -> bool:
        """Whether what is here is a piece of the wanted version, or the server will be able to tell."""
        if self.source.sha256 is not None:
            return part.sha256 == self.source.sha256
        return part.strong_etag is not None

    def _headers(self, n_have: int, part: Stamp) -> dict[str, str]:
        headers = dict(self.source.headers)
        if self.have.etag is not None and self.source.sha256 is None:
            headers["If-None-Match"] = self.have.etag
        if n_have:
            headers["Range"] = f"bytes={n_have}-"
            if part.strong_etag is not None:
                headers["If-Range"] = part.strong_etag
        return headers

    def _receive(self, response: httpx.Response, n_have: int, part: Stamp) -> Stamp:
        """Write the body to the part file; give the stamp of the version it is of."""
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise DownloadError(f"{shown(self.source.url)}: the server sends the file compressed, which was not asked")
        if response.headers.get("Content-Type", "").startswith("text/html"):
            raise DownloadError(
                f"{shown(self.source.url)}: this is a web page, not a file; links of Hugging Face to files have "
                "/resolve/ where those to pages have /blob/"
            )
        stamp = self._stamp(response)
        if response.status_code == httpx.codes.PARTIAL_CONTENT:
            found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
            same = found is not None and int(found[1]) == n_have and stamp.etag == part.etag
            if found is None or not same or stamp.size not in (None, int(found[2])):
                self.slot.discard()
                raise InterruptedDownloadError("the server sent another piece than the one asked for")
            stamp = replace(stamp, size=int(found[2]))
        else:
            n_have = 0
        self._check_offer(response, stamp, n_have)
        self.slot.begin(stamp)
        with self.slot.part.open("ab" if n_have else "wb") as file:
            self._write(response, file, n_have, stamp.size)
        return stamp

    def _stamp(self, response: httpx.Response) -> Stamp:
        """Collect what is known of the version on offer, headers of Hugging Face's redirects included."""
        sha256, size = self.source.sha256, self.source.size
        for answer in (*response.history, response):
            linked = _SHA256.fullmatch(answer.headers.get("X-Linked-Etag", ""))
            sha256 = sha256 or (linked[1].lower() if linked else None)
            size = size if size is not None else _count(answer.headers.get("X-Linked-Size"))
        if size is None and response.status_code == httpx.codes.OK:
            size = _count(response.headers.get("Content-Length"))
        return Stamp(response.headers.get("ETag"), sha256, size)

    def _check_offer(self, response: httpx.Response, stamp: Stamp, n_have: int) -> None:
        n_coming = _count(response.headers.get("Content-Length"))
        if n_coming is not None and stamp.size is not None and n_have + n_coming != stamp.size:
            self._fail_size(stamp.size, n_have + n_coming)
        n_needed = (stamp.size or 0) - n_have
        n_free = shutil.disk_usage(self.slot.file.parent).free
        if n_needed > n_free:
            raise DownloadError(
                f"the disk of {self.slot.file.parent} has {n_free:,} bytes free, {self.slot.file.name} needs "
                f"{n_needed:,}: make room or set PYGGML_CACHE to a folder on another disk"
            )

    def _write(self, response: httpx.Response, file: IO[bytes], n_have: int, size: int | None) -> None:
        name = self.slot.file.name
        if self.progress is not None:
            self.progress(name, n_have, size)
        for chunk in response.iter_raw():
            n_have += len(chunk)
            if size is not None and n_have > size:
                self._fail_size(size, n_have)
            file.write(chunk)
            if self.progress is not None:
                self.progress(name, n_have, size)

    def _verify(self, stamp: Stamp) -> None:
        """Compare size and hash with what was promised; remove the file and raise if they differ."""
        n_bytes = self.slot.part_size()
        if stamp.size is not None and n_bytes != stamp.size:
            self._fail_size(stamp.size, n_bytes)
        if stamp.sha256 is None:
            return
        digest = hashlib.sha256()
        with self.slot.part.open("rb") as file:
            while block := file.read(_BLOCK_BYTES):
                digest.update(block)
        if digest.hexdigest() != stamp.sha256:
            self.slot.discard()
            raise DownloadError(
                f"{shown(self.source.url)}: the download is damaged and was removed: its SHA-256 should be "
                f"{stamp.sha256} and is {digest.hexdigest()}; try again, perhaps from another mirror"
            )

    def _fail_size(self, n_expected: int, n_found: int) -> None:
        self.slot.discard()
        raise DownloadError(
            f"{shown(self.source.url)}: the file should have {n_expected:,} bytes, the server sends {n_found:,}; "
            "what has arrived was removed: try again, perhaps from another mirror"
        )


def _count(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 19 else None


def _explain_storage(error: OSError, file: Path) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            f"the disk of {file.parent} is full; what has arrived is kept: make room and run the same command again, "
            "or set PYGGML_CACHE to a folder on another disk"
        )
    return f"cannot write {file}: {error.strerror or error}; set PYGGML_CACHE to a folder that can be written"
