"""Downloads that resume, and archives that are unpacked once.

A file counts as downloaded when its size and MD5 sum match; an archive counts as
unpacked when its folder has its final name. Until then a file is called
``<name>.part`` and a folder ``.unfinished.<name>``, so that no later run mistakes the
remains of a killed run for a finished download. Runs that start together wait for the
one that downloads.
"""

import hashlib
import http.client
import os
import shutil
import ssl
import stat
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from pathlib import Path, PureWindowsPath

from filelock import FileLock

from ser_lib.utils.disk import check_disk_space
from ser_lib.utils.progress import Progress, with_progress

# For connecting and for each read, so that a dead server is noticed within seconds.
TIMEOUT_S = 10
_CHUNK_BYTES = 2**18
# Other OSErrors, such as a full disk, need no explanation.
_NETWORK_ERRORS = (
    urllib.error.URLError,
    http.client.HTTPException,
    ConnectionError,
    TimeoutError,
    ssl.SSLError,
)


def download(url: str, path: str | Path, size_bytes: int, md5: str) -> None:
    """Download a file of known content, or resume an interrupted download.

    If the right file exists already, nothing is fetched.

    Arguments
    ---------
    url : str
        With the scheme http, https or file.
    path : str | Path
        The file to write. ``<path>.part`` holds the bytes received so far.
    md5 : str
        Its MD5 sum, in hexadecimal digits. It detects damage and mix-ups, not forgery.

    Raises
    ------
    ConnectionError
        If the server cannot be reached, or the connection breaks.
    ValueError
        If the URL has another scheme, or the size or the MD5 sum is wrong. A wrong
        download is deleted; a wrong file that was at ``path`` before is kept.
    OSError
        If the disk has too little free space.

    Example
    -------
    >>> folder = Path(getfixture("tmp_path"))
    >>> published = folder / "published.txt"
    >>> _ = published.write_bytes(b"hello")
    >>> md5 = hashlib.md5(b"hello", usedforsecurity=False).hexdigest()
    >>> download(published.as_uri(), folder / "copy.txt", size_bytes=5, md5=md5)
    >>> (folder / "copy.txt").read_text()
    'hello'
    """
    path = Path(path)
    scheme = urllib.parse.urlsplit(url).scheme
    if scheme not in ("http", "https", "file"):
        raise ValueError(f"{url} has the scheme {scheme!r}, not http, https or file.")
    if path.exists():
        wrong = _difference(path, size_bytes, md5)
        if wrong:
            raise ValueError(
                f"{path} is not the file published at {url}: {wrong}. Delete it to "
                f"download it, or put the right file there."
            )
        return
    _fetch(url, path, size_bytes)
    part = _part(path)
    wrong = _difference(part, size_bytes, md5)
    if wrong:
        part.unlink()
        raise ValueError(
            f"The file downloaded from {url} is not the expected one: {wrong}. It was "
            f"deleted. Run the same command again; if that does not help, the "
            f"published file has changed: {_by_hand(url, path)}"
        )
    os.replace(part, path)


def download_and_unpack(
    url: str, archive: str | Path, folder: str | Path, size_bytes: int, md5: str
) -> None:
    """Download a zip archive and unpack it, once, even if several runs start together.

    Errors are those of :func:`download` and :func:`unpack_zip`.

    Arguments
    ---------
    url, size_bytes, md5 :
        See :func:`download`.
    archive : str | Path
        The zip file to write.
    folder : str | Path
        The folder to unpack into. If it is not empty, nothing is done.
    """
    archive, folder = Path(archive), Path(folder)
    archive.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(archive.with_name(f".{archive.name}.lock")):
        if folder.is_dir() and any(folder.iterdir()):
            return
        download(url, archive, size_bytes, md5)
        unpack_zip(archive, folder)


def unpack_zip(archive: str | Path, folder: str | Path) -> None:
    """Unpack a zip archive into a folder that appears only when it is complete.

    Arguments
    ---------
    archive : str | Path
        The zip file; it is kept.
    folder : str | Path
        The folder to create. If it exists, it must be empty.

    Raises
    ------
    FileExistsError
        If ``folder`` is not empty.
    ValueError
        If the archive is damaged, or a member is a symbolic link or would be written
        outside the folder (an absolute name, ``..``).
    OSError
        If the disk has too little free space.

    Example
    -------
    >>> folder = Path(getfixture("tmp_path"))
    >>> with zipfile.ZipFile(folder / "a.zip", "w") as f:
    ...     f.writestr("Actor_01/a.txt", "hello")
    >>> unpack_zip(folder / "a.zip", folder / "a")
    >>> (folder / "a" / "Actor_01" / "a.txt").read_text()
    'hello'
    """
    folder = Path(folder)
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(
            f"Cannot unpack {archive} into {folder}: it is not empty. Remove it first."
        )
    unfinished = folder.with_name(f".unfinished.{folder.name}")
    if unfinished.exists():  # an earlier run was killed
        shutil.rmtree(unfinished)
    try:
        with zipfile.ZipFile(archive) as f:
            members = f.infolist()
            for member in members:
                _check_member(archive, member)
            needed_bytes = sum(member.file_size for member in members)
            check_disk_space(folder, needed_bytes, f"Unpacking {archive}")
            unfinished.mkdir(parents=True)
            for member in with_progress(members, "unpacking", "files"):
                f.extract(member, unfinished)
    except zipfile.BadZipFile as error:
        raise ValueError(
            f"{archive} is damaged or not a zip file ({error}). Delete it and download "
            f"it again."
        ) from error
    if folder.exists():
        folder.rmdir()  # Windows does not rename onto an empty folder
    os.replace(unfinished, folder)


def _part(path: Path) -> Path:
    return path.with_name(f"{path.name}.part")


def _by_hand(url: str, path: Path) -> str:
    return (
        f"download it manually from {url} , save it as {path} and run the same command "
        f"again."
    )


def _difference(path: Path, size_bytes: int, md5: str) -> str:
    """Describe what is wrong with a file; empty if nothing is."""
    found_bytes = path.stat().st_size
    if found_bytes != size_bytes:
        return f"expected {size_bytes:,} bytes, found {found_bytes:,} bytes"
    digest = hashlib.md5(usedforsecurity=False)
    with open(path, "rb") as f:
        while chunk := f.read(_CHUNK_BYTES):
            digest.update(chunk)
    if digest.hexdigest() != md5:
        return f"expected MD5 {md5}, found MD5 {digest.hexdigest()}"
    return ""


def _fetch(url: str, path: Path, size_bytes: int) -> None:
    """Download ``<path>.part`` to its full length."""
    part = _part(path)
    start_byte = part.stat().st_size if part.exists() else 0
    if start_byte >= size_bytes:  # killed between the last byte and the check
        return
    check_disk_space(path.parent, size_bytes - start_byte, f"Downloading {path.name}")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with _open(url, start_byte) as response:
            _save(response, part, start_byte, size_bytes)
    except _NETWORK_ERRORS as error:
        kept_bytes = part.stat().st_size if part.exists() else 0
        raise ConnectionError(
            f"Could not download {url}: {error}. {kept_bytes:,} of {size_bytes:,} "
            f"bytes have arrived so far. Run the same command again to resume. If this "
            f"machine has no network, {_by_hand(url, path)}"
        ) from error


def _open(url: str, start_byte: int):
    """Request the rest of a file, or all of it if the server refuses the range."""
    headers = {"Range": f"bytes={start_byte}-"} if start_byte else {}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 (checked above)
    try:
        return urllib.request.urlopen(request, timeout=TIMEOUT_S)  # noqa: S310
    except urllib.error.HTTPError as error:
        if start_byte and error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            return _open(url, start_byte=0)
        raise


def _save(response, part: Path, start_byte: int, size_bytes: int) -> None:
    """Write a response to a file, with a progress bar on stderr."""
    if response.status != http.client.PARTIAL_CONTENT:
        start_byte = 0  # the server sends the file from the beginning
    length = response.headers["Content-Length"]
    end_byte = start_byte + int(length) if length else size_bytes
    bar = Progress(f"downloading {part.stem}", size_bytes, "B", n_before=start_byte)
    with bar, open(part, "ab" if start_byte else "wb") as f:
        # One chunk too many is enough to detect a wrong file.
        while f.tell() <= size_bytes and (chunk := response.read(_CHUNK_BYTES)):
            f.write(chunk)
            bar.update(len(chunk))
        found_bytes = f.tell()
    if found_bytes < min(end_byte, size_bytes):
        raise ConnectionError("the connection was closed before the end")


def _check_member(archive: str | Path, member: zipfile.ZipInfo) -> None:
    """Refuse a member that could write, or point, outside the folder."""
    # Understands "/", "\", "C:" and "//host", so it is right on every system.
    name = PureWindowsPath(member.filename)
    is_link = stat.S_ISLNK(member.external_attr >> 16)
    if name.anchor or ".." in name.parts or is_link:
        problem = "is a symbolic link" if is_link else "leads out of the folder"
        raise ValueError(
            f"{archive} was not unpacked: its member {member.filename!r} {problem}. "
            f"This is not the published archive; delete it and download it again."
        )
