"""The HDF5 door: files are built in memory, sealed and written once; only sound ones are opened.

On a damaged file the HDF5 library may crash, hang or take all memory, and on a full disk it ends the process. Therefore
a file begins with a seal, in a block that HDF5 leaves to its user: a hash of its content (equal data are not always
packed into equal bytes) and the CRC-32 of that and of all that follows. It is opened only if they agree. A file without
a seal (of an earlier version, or from elsewhere) is first read through by another process with limits. Either is done
once for a file that stays as it is, not at each reading.
"""

import hashlib
import io
import json
import os
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any

import h5py
import numpy as np

from cinema.files import CONTENT_SIZE, ROOT, SEAL, whole_or_not

BLOCK = 512  # bytes, the least that HDF5 allows
CRC = b", CRC-32 of that and of all after the first 512 bytes "
LZF = 32000  # the one filter that is ever written
MOST_PACKED = 100  # lzf makes at most 264 bytes of 3
FREE_BYTES = 1 << 20  # so much may be claimed without being there: fill values
MEMORY_BYTES = 2_000_000_000
SECONDS, BYTES_A_SECOND = 4, 10_000_000  # what another process may take for a file of few bytes, and for more of them
_hashes: ContextVar[dict[str, str]] = ContextVar("_hashes")  # of the data of the file that is being written, by name


@contextmanager
def written(path: str | Path) -> Iterator[h5py.File]:
    """A context that gives an HDF5 file to fill, which is sealed and written to `path` whole or not at all."""
    buffer = io.BytesIO()
    hashes: dict[str, str] = {}
    before = _hashes.set(hashes)
    try:
        with h5py.File(buffer, "w", userblock_size=BLOCK) as file:
            yield file
            content = content_of(file, hashes).encode()
    finally:
        _hashes.reset(before)
    held = buffer.getbuffer()
    held[:BLOCK] = _seal(content, zlib.crc32(held[BLOCK:], zlib.crc32(content)))
    with whole_or_not(path) as temporary:
        temporary.write_bytes(held)


def frames(group: h5py.Group, name: str, data: np.ndarray) -> None:
    """A dataset in a file of `written`, packed frame by frame along its last axis, so that one can be read alone.

    Its hash is taken here: it need not be unpacked again for that of the file.
    """
    part = group.create_dataset(name, data.shape, data.dtype, chunks=(*data.shape[:-1], 1), compression="lzf")
    for k in range(data.shape[-1]):  # faster than all at once, which gathers each chunk number by number
        part[..., k] = np.ascontiguousarray(data[..., k])
    _hashes.get()[part.name] = _hash(data)


def content_of(part: h5py.Group | h5py.Dataset, hashes: Mapping[str, str] = MappingProxyType({})) -> str:
    """Hash of the attributes and data of a dataset or of all below a group, however they are packed.

    hashes: of data that need not be read for it, by name.
    """
    attributes = [(name, np.asarray(part.attrs[name]).tolist()) for name in sorted(part.attrs)]
    hashed = hashlib.sha256(repr(attributes).encode())
    if isinstance(part, h5py.Dataset):
        hashed.update((hashes.get(part.name) or _hash(part[()])).encode())
    else:
        for name in sorted(part):
            hashed.update(f"{name} {content_of(part[name], hashes)}".encode())
    return hashed.hexdigest()[:CONTENT_SIZE]


def _hash(data: np.ndarray) -> str:
    hashed = hashlib.sha256(f"{data.dtype} {data.shape}".encode())
    hashed.update(np.ascontiguousarray(data).data)
    return hashed.hexdigest()


@contextmanager
def opened(path: str | Path) -> Iterator[h5py.File]:
    """A context that gives a sound HDF5 file to read from.

    Raises FileNotFoundError; ValueError in one line for a file that is damaged, or whatever reading it raises, except
    a ValueError that names the file.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; name a study file ending in .h5")
    try:
        state = path.stat()
        _check(str(path.absolute()), state.st_size, state.st_mtime_ns)
        with h5py.File(path, "r") as file:
            yield file
    except Exception as error:
        if isinstance(error, ValueError) and str(path) in str(error):
            raise
        raise ValueError(f"{path} is not a readable study ({_reason(error)}); copy or write it again") from None


def _seal(content: bytes, checksum: int) -> bytes:
    return (SEAL + content + CRC + b"%08x\n" % checksum).ljust(BLOCK, b"\0")


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:150] or type(error).__name__


@cache
def _check(path: str, size: int, changed_ns: int) -> None:
    """ValueError unless a file, which is told from a later one by its size and time, is sound."""
    with open(path, "rb") as stream:
        head = stream.read(BLOCK)
        content = head[len(SEAL) : len(SEAL) + CONTENT_SIZE]
        checksum = zlib.crc32(content)
        while head.startswith(SEAL) and (piece := stream.read(1 << 20)):
            checksum = zlib.crc32(piece, checksum)
    if not head.startswith(SEAL):
        if reason := _asked(path, size):
            raise ValueError(reason)
    elif head != _seal(content, checksum):
        raise ValueError("damaged: its checksum is another")
    else:
        with h5py.File(path, "r") as file:
            _check_parts(file)


def _check_parts(group: h5py.Group, read: bool = False) -> None:
    """ValueError if a group holds what is never written: links, data of other files, filters, data that are not there.

    read: read all data and attributes, too, a piece at a time.
    """
    for name in group:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise ValueError("it holds a link to something else")
        part = group[name]
        if isinstance(part, h5py.Group):
            _check_parts(part, read)
            continue
        if not isinstance(part, h5py.Dataset) or part.is_virtual or part.external:
            raise ValueError("it refers to data outside itself")
        settings = part.id.get_create_plist()
        if any(settings.get_filter(k)[0] != LZF for k in range(settings.get_nfilters())):
            raise ValueError("it is packed by a filter other than lzf")
        if part.nbytes > MOST_PACKED * part.id.get_storage_size() + FREE_BYTES:
            raise ValueError(f"it claims {part.nbytes / 1e6:.0f} MB that are not there")
        if read:
            dict(part.attrs)
            for piece in range(part.shape[-1]) if part.chunks else ():
                part[..., piece]
            if not part.chunks:
                part[()]
    if read:
        dict(group.attrs)


def _asked(path: str, size: int) -> str:
    """Why a file is not sound, by the word of another process; "" if it is."""
    helper = _helper(os.getpid())
    seconds = SECONDS + size // BYTES_A_SECOND
    timer = threading.Timer(seconds, helper.kill)
    timer.start()
    try:
        print(json.dumps([path, seconds]), file=helper.stdin, flush=True)
        answer = helper.stdout.readline()
    except OSError:
        answer = ""
    timer.cancel()
    if not answer:
        _helper.cache_clear()
        return "damaged: the HDF5 library crashes on it or does not end"
    return json.loads(answer)


@cache
def _helper(asked_by: int) -> Any:
    """The process that reads what is not sealed, for the process `asked_by`; it ends with it."""
    paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    alone = {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "encoding": "utf-8"}
    helper = subprocess.Popen([sys.executable, "-m", __name__], env={**os.environ, **alone}, **pipes)  # type: ignore
    helper.stdout.readline()  # it has started: from here on time counts
    return helper


def _answer(questions: IO[str]) -> None:
    """Read the files named in `questions`, [path, seconds] in a line; print the reason against each, "" for none."""
    print("ready", flush=True)
    for question in questions:
        path, seconds = json.loads(question)
        _limit(seconds)
        try:
            with h5py.File(path, "r") as file:
                _check_parts(file, read=True)
            reason = ""
        except Exception as error:
            reason = _reason(error)
        print(json.dumps(reason), flush=True)


def _limit(seconds: float) -> None:
    """Bound the memory and the further computing time of this process, where the system can."""
    try:
        import resource
    except ImportError:  # Windows; whoever asked ends it in time
        return
    for what, most in ((resource.RLIMIT_AS, MEMORY_BYTES), (resource.RLIMIT_CPU, int(time.process_time() + seconds))):
        hard = resource.getrlimit(what)[1]
        resource.setrlimit(what, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


if __name__ == "__main__":
    _answer(sys.stdin)
