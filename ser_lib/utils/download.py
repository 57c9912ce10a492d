"""Downloads that continue where they were cut, and archives that stay in their folder.

A file counts as downloaded when its size and its MD5 sum are those of the release; an
archive counts as unpacked when its folder has its final name. Until then a file is
called ``<name>.part`` and a folder ``.unfinished.<name>``, so a killed run leaves
nothing behind that a later run takes for finished. Runs that start together wait for
the one that downloads.
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
from tqdm import tqdm

# For connecting and for each wait for data, so a dead server shows within seconds.
TIMEOUT_S = 10
_CHUNK_BYTES = 2**18
# What the network can do to us. Other OSErrors, such as a full disk, say so themselves.
_NETWORK_ERRORS = (
    urllib.error.URLError,
    http.client.HTTPException,
    ConnectionError,
    TimeoutError,
    ssl.SSLError,
)


def download(url: str, path: str | Path, size_bytes: int, md5: str) -> None:
    """Download a file of known content, or continue a download that was cut.

    Nothing is fetched if the file is there already and is the right one.

    Arguments
    ---------
    url : str
        Where the file is published; http, https or file.
    path : str | Path
        The file to write. ``<path>.part`` holds what has arrived so far.
    size_bytes : int
        Size of the file.
    md5 : str
        Its MD5 sum, in hexadecimal digits. It guards against damage and mix-ups, not
        against forgery.

    Raises
    ------
    ConnectionError
        If the file cannot be reached, or the connection breaks.
    ValueError
        If the scheme of the URL is another, or if the size or the MD5 sum is wrong. A
        wrong download is removed; a wrong file that stood at ``path`` before is not.
    OSError
        If the disk has no room for it.

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
            f"What came from {url} is not the expected file: {wrong}. It was removed. "
            f"Run the same command again; if that does not help, the file was changed "
            f"where it is published: {_by_hand(url, path)}"
        )
    os.replace(part, path)


def download_and_unpack(
    url: str, archive: str | Path, folder: str | Path, size_bytes: int, md5: str
) -> None:
    """Download a zip archive and unpack it, once, however many runs ask for it.

    Arguments
    ---------
    url, size_bytes, md5 :
        As for :func:`download`, which says what can go wrong.
    archive : str | Path
        The zip file to write.
    folder : str | Path
        The folder to unpack it into. If it has something in it, nothing is done.
    """
    archive, folder = Path(archive), Path(folder)
    archive.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(archive.with_name(f".{archive.name}.lock")):
        if folder.is_dir() and any(folder.iterdir()):
            return
        download(url, archive, size_bytes, md5)
        unpack_zip(archive, folder)


def needs_space(folder: str | Path, n_bytes: int) -> None:
    """Check that a disk has room, before something large is written to it.

    Arguments
    ---------
    folder : str | Path
        A folder on that disk; it need not exist yet.
    n_bytes : int
        How much is going to be written.

    Raises
    ------
    OSError
        If less is free; the message says how much is needed and how much is free.

    Example
    -------
    >>> needs_space("a/folder/to/come", n_bytes=1)
    """
    folder = Path(folder).absolute()
    existing = next(f for f in (folder, *folder.parents) if f.exists())
    free_bytes = shutil.disk_usage(existing).free
    if free_bytes < n_bytes:
        raise OSError(
            f"Not enough disk space in {folder}: needed {n_bytes / 1e6:,.1f} MB, free "
            f"{free_bytes / 1e6:,.1f} MB. Free some space or choose another folder."
        )


def unpack_zip(archive: str | Path, folder: str | Path) -> None:
    """Unpack a zip archive into a folder that appears only when it is complete.

    Arguments
    ---------
    archive : str | Path
        The zip file; it is left where it is.
    folder : str | Path
        The folder to make. If it exists it must be empty.

    Raises
    ------
    FileExistsError
        If ``folder`` has something in it.
    ValueError
        If the archive is damaged, or if a member would be written outside of the
        folder (an absolute name, ``..``) or is a symbolic link.
    OSError
        If the disk has no room for the unpacked files.

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
            needs_space(folder, sum(member.file_size for member in members))
            unfinished.mkdir(parents=True)
            for member in tqdm(members, "unpacking", unit="file", ascii=True):
                f.extract(member, unfinished)
    except zipfile.BadZipFile as error:
        raise ValueError(
            f"{archive} is damaged or not a zip file ({error}). Delete it and get it "
            f"again."
        ) from error
    if folder.exists():
        folder.rmdir()  # Windows does not rename onto an empty folder
    os.replace(unfinished, folder)


def _part(path: Path) -> Path:
    return path.with_name(f"{path.name}.part")


def _by_hand(url: str, path: Path) -> str:
    return (
        f"download it by hand from {url} , put it at {path} and run the same command "
        f"again."
    )


def _difference(path: Path, size_bytes: int, md5: str) -> str:
    """Say what is wrong with a file; empty if nothing is."""
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
    """Bring ``<path>.part`` to its full length."""
    part = _part(path)
    start_byte = part.stat().st_size if part.exists() else 0
    if start_byte >= size_bytes:  # killed between the last byte and the check
        return
    needs_space(path.parent, size_bytes - start_byte)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with _open(url, start_byte) as response:
            _save(response, part, start_byte, size_bytes)
    except _NETWORK_ERRORS as error:
        kept_bytes = part.stat().st_size if part.exists() else 0
        raise ConnectionError(
            f"Could not download {url}: {error}. {kept_bytes:,} of {size_bytes:,} "
            f"bytes have arrived so far. Run the same command again to go on from "
            f"there. Without a network here, {_by_hand(url, path)}"
        ) from error


def _open(url: str, start_byte: int):
    """Ask for the rest of a file, or for all of it where the rest is refused."""
    headers = {"Range": f"bytes={start_byte}-"} if start_byte else {}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 (checked above)
    try:
        return urllib.request.urlopen(request, timeout=TIMEOUT_S)  # noqa: S310
    except urllib.error.HTTPError as error:
        if start_byte and error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            return _open(url, start_byte=0)
        raise


def _save(response, part: Path, start_byte: int, size_bytes: int) -> None:
    """Write a response to the file, with a progress bar on stderr."""
    if response.status != http.client.PARTIAL_CONTENT:
        start_byte = 0  # the server sends the file from its beginning
    length = response.headers["Content-Length"]
    end_byte = start_byte + int(length) if length else size_bytes
    bar = tqdm(
        desc=part.stem,
        initial=start_byte,
        total=size_bytes,
        unit="B",
        unit_scale=True,
        ascii=True,
        mininterval=1,
    )
    with bar, open(part, "ab" if start_byte else "wb") as f:
        # One chunk too many is enough to see that the file is not the expected one.
        while f.tell() <= size_bytes and (chunk := response.read(_CHUNK_BYTES)):
            f.write(chunk)
            bar.update(len(chunk))
        found_bytes = f.tell()
    if found_bytes < min(end_byte, size_bytes):
        raise ConnectionError("the connection was closed before the end")


def _check_member(archive: str | Path, member: zipfile.ZipInfo) -> None:
    """Refuse a member that could write, or point, outside of the folder."""
    # Reads "/" and "\", "C:" and "//host" alike, so it is right on every system.
    name = PureWindowsPath(member.filename)
    is_link = stat.S_ISLNK(member.external_attr >> 16)
    if name.anchor or ".." in name.parts or is_link:
        what = "is a symbolic link" if is_link else "leads out of the folder"
        raise ValueError(
            f"{archive} was not unpacked: its member {member.filename!r} {what}. This "
            f"is not an archive as published; delete it and get it again."
        )
