"""The files of one delivery, read straight from a zip archive, or from the folder it was unpacked to.

Nothing is unpacked to the disk. An archive is refused as a whole, in one line, if anything in it is not as a
delivery of plain files has it: entries that point elsewhere, links, encryption, archives in archives, damage, or
more than a delivery can hold. Sizes are those that the archive declares; zipfile never reads beyond them.
"""

import re
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

MAX_BYTES = 4 * 2**30  # unpacked; the largest deliveries of UK Biobank's cine fields hold some hundred MB
MAX_RATIO = 200  # unpacked to packed; DICOM pictures shrink to a half or a third, empty ones to a hundredth
MAX_FILES = 50_000
NESTED = (".zip", ".gz", ".tar", ".7z", ".rar", ".tgz", ".bz2", ".xz")
DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError)


@contextmanager
def opened(path: str | Path) -> Iterator[tuple[list[str], Callable[[str], bytes]]]:
    """(names, read) of an archive or a folder: sorted names of all files, and read(name) -> bytes.

    Names keep their folders, with forward slashes. Raises ValueError or OSError in one line.
    """
    path = Path(path)
    if path.is_dir():
        files = {file.relative_to(path).as_posix(): file for file in sorted(path.rglob("*")) if file.is_file()}
        yield list(files), lambda name: files[name].read_bytes()
        return
    if path.exists() and not path.is_file():  # a pipe would be waited for without end
        raise ValueError(f"{path.name} is no file; fetch it again")
    try:
        archive = zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        raise ValueError(f"{path.name} is no readable zip archive ({error}); fetch it again") from None

    def read(name: str) -> bytes:
        try:
            return archive.read(name)
        except DAMAGE as error:
            why = str(error)[:100]
            raise ValueError(f"{path.name}: {name} is damaged ({why}); fetch the archive again") from None

    with archive:
        entries = archive.infolist()
        for entry in entries:
            if problem := _problem(entry):
                said = f"entry {entry.filename[:80]!r} {problem}; a delivery holds plain files only"
                raise ValueError(f"{path.name}: {said}: fetch it again")
        entries = [entry for entry in entries if not entry.is_dir()]
        _check_sizes(path, entries)
        yield sorted(entry.filename for entry in entries), read


def _problem(entry: zipfile.ZipInfo) -> str | None:
    """Why an entry is not what a delivery of plain files has."""
    parts = re.split(r"[\\/]", entry.filename)
    if not parts[0] or ".." in parts or re.match(r"[A-Za-z]:", entry.filename):
        return "points outside its folder"
    if stat.S_ISLNK(entry.external_attr >> 16):
        return "is a link"
    if entry.flag_bits & 1:
        return "is encrypted"
    return "is an archive inside the archive" if entry.filename.lower().endswith(NESTED) else None


def _check_sizes(path: Path, entries: list[zipfile.ZipInfo]) -> None:
    total, packed = sum(entry.file_size for entry in entries), sum(entry.compress_size for entry in entries)
    if total > MAX_BYTES or total > MAX_RATIO * max(packed, 1) or len(entries) > MAX_FILES:
        held = f"{path.name} would unpack to {len(entries)} files of {total} bytes from {packed}"
        most = f"at most {MAX_FILES} files, {MAX_BYTES} bytes and {MAX_RATIO} times its size are read"
        raise ValueError(f"{held}; {most}: fetch it again")
    if len({entry.filename for entry in entries}) < len(entries):
        raise ValueError(f"{path.name} holds two files of one name; fetch it again")
