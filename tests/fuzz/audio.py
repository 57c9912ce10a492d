"""Audio files: each gets a row with a label, or a row with an error; never nonsense."""

import os
import socket
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import soundfile
from hypothesis import strategies as st

from fuzz.case import FILE_FAILED, OK, Case, Common, draw
from fuzz.rows import one_row, sound_rows

RATE_HZ = 16000
_RATES_HZ = (1, 7, 100, 999, 7919, 8000, 11025, 12000, 22050, 24000, 32000, 44099)
_HIGH_RATES_HZ = (44100, 48000, 48001, 88200, 96000, 192000, 352800, 999983, 1_000_000)
_COMMON_RATES_HZ = {8000, 11025, 12000, 22050, 24000, 32000, 44100, 48000, 96000}
_NOT_SPEECH = {
    "NaN": lambda wav: wav * np.nan,
    "one NaN": lambda wav: np.where(np.arange(len(wav)) == 99, np.nan, wav),
    "infinite": lambda wav: wav * np.inf,
    "one minus infinity": lambda wav: np.where(np.arange(len(wav)) == 9, -np.inf, wav),
    "1e30": lambda wav: wav * 1e30,
    "scaled as 16-bit integers": lambda wav: wav * 32767,
    "scaled as 32-bit integers": lambda wav: wav * 2**31,
    "silent": lambda wav: wav * 0,
    "nearly silent": lambda wav: wav * 1e-9,
    "subnormal": lambda wav: wav * 1e-44,
    "a constant": lambda wav: wav * 0 + 0.5,
    "10 ms long": lambda wav: wav[: RATE_HZ // 100],
    "one sample long": lambda wav: wav[:1],
    "empty": lambda wav: wav[:0],
}
_HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")
_U16 = st.one_of(st.sampled_from([0, 1, 2, 3, 17, 0xFFFE, 0xFFFF]), st.integers(0, 99))
_U32 = st.one_of(
    st.sampled_from([0, 1, 16000, 48001, 0x7FFFFFFF, 0xFFFFFFFF]),
    st.integers(0, 2**32 - 1),
)
_HEADERS = st.fixed_dictionaries(
    {
        "riff_size": _U32,
        "format_size": st.one_of(st.just(16), _U32),
        "encoding": st.one_of(st.sampled_from([1, 3, 2, 6, 7, 17, 49]), _U16),
        "n_channels": _U16,
        "rate_hz": _U32,
        "bytes_per_s": _U32,
        "block_bytes": _U16,
        "bits": st.one_of(st.sampled_from([8, 16, 24, 32, 64]), _U16),
        "data_size": _U32,
        "n_bytes": st.integers(0, 4000),
    }
)
_DAMAGE = st.tuples(
    st.sampled_from(["WAV", "FLAC", "OGG", "MP3", "AIFF", "AU", "W64", "RF64"]),
    st.one_of(st.none(), st.floats(0, 1)),
    st.lists(st.tuples(st.floats(0, 0.02), st.integers(1, 255)), max_size=8),
)


def cases(common: Common, n: int, seed: int) -> Iterator[Case]:
    """What is written down, then at least 20 that are drawn."""
    given = [
        *_formats(common),
        *_rates(common),
        *_channels(common),
        *_not_speech(common),
        *_no_files(common),
    ]
    yield from given
    n_drawn = max(20, n - len(given))
    for number, damage in enumerate(draw(_DAMAGE, n_drawn // 2, seed)):
        yield _case(common, f"damage {damage}", _damaged(damage, number), {0, 1})
    for header in draw(_HEADERS, n_drawn - n_drawn // 2, seed):
        yield _case(common, f"a WAV header {header}", _with_header(header), {0, 1})


def speech(duration_s: float = 0.6, rate_hz: int = RATE_HZ, seed: int = 0):
    """Noise under an envelope, which a model takes for speech."""
    n = round(duration_s * rate_hz)
    envelope = 0.1 + np.sin(np.linspace(0, 9, n)) ** 2
    return 0.2 * envelope * np.random.default_rng(seed).standard_normal(n)


def _case(
    common: Common, title: str, write: Callable[[Path], Path], codes: set[int]
) -> Case:
    """Give what ``write`` writes into a folder to predict."""
    return Case(
        title,
        lambda folder: ["ser_lib.predict", common.model, "--", write(folder)],
        codes,
        one_row,
    )


def _formats(common: Common) -> Iterator[Case]:
    """Every format of libsndfile, with all its subtypes in one call."""
    for kind in sorted(set(soundfile.available_formats()) - {"RAW"}):

        def write(folder: Path, kind: str = kind) -> list:
            files = _write_subtypes(folder, kind)
            return ["ser_lib.predict", common.model, "--", *files]

        yield Case(f"the format {kind}", write, {OK, FILE_FAILED}, sound_rows)
    for kind in ("WAV", "FLAC", "OGG", "MP3", "AIFF"):

        def write_default(folder: Path, kind: str = kind) -> Path:
            path = folder / f"a.{kind.lower()}"
            soundfile.write(path, speech(), RATE_HZ, format=kind)
            return path

        yield _case(common, f"{kind} as most have it", write_default, {OK})


def _write_subtypes(folder: Path, kind: str) -> list[Path]:
    files = []
    for subtype in sorted(soundfile.available_subtypes(kind)):
        rate_hz = 8000 if subtype.startswith(("G72", "GSM")) else RATE_HZ
        path = folder / f"{subtype}.{kind.lower()}"
        with suppress(soundfile.LibsndfileError):  # the format does not take all
            soundfile.write(path, speech(rate_hz=rate_hz), rate_hz, subtype, None, kind)
            files.append(path)
    return files


def _rates(common: Common) -> Iterator[Case]:
    for rate_hz in (*_RATES_HZ, *_HIGH_RATES_HZ):
        must = rate_hz in _COMMON_RATES_HZ

        def write(folder: Path, rate_hz: int = rate_hz) -> Path:
            return _write(folder / "a.wav", speech(1.0, rate_hz), rate_hz)

        codes = {OK} if must else {OK, FILE_FAILED}
        yield _case(common, f"a rate of {rate_hz} Hz", write, codes)


def _channels(common: Common) -> Iterator[Case]:
    for n in (2, 3, 6, 16):

        def write(folder: Path, n: int = n) -> Path:
            wav = np.stack([speech(seed=i) for i in range(n)], axis=1)
            return _write(folder / "a.wav", wav)

        yield _case(common, f"{n} channels", write, {OK})

    def opposite(folder: Path) -> Path:
        return _write(folder / "a.wav", np.stack([speech(), -speech()], axis=1))

    yield _case(common, "channels of opposite sign", opposite, {FILE_FAILED})


def _not_speech(common: Common) -> Iterator[Case]:
    for title, spoil in _NOT_SPEECH.items():
        for subtype in ("FLOAT", "DOUBLE"):

            def write(folder: Path, spoil=spoil, subtype=subtype) -> Path:
                return _write(folder / "a.wav", spoil(speech()), RATE_HZ, subtype)

            yield _case(common, f"{title}, in {subtype}", write, {FILE_FAILED})


def _write(path: Path, wav, rate_hz: int = RATE_HZ, subtype: str = "PCM_16") -> Path:
    soundfile.write(path, wav, rate_hz, subtype)
    return path


def _no_files(common: Common) -> Iterator[Case]:
    """What is called a.wav and is something else."""
    makers = {
        "a folder": lambda path: path.mkdir(),
        "a pipe that nobody writes to": lambda path: os.mkfifo(path),
        "a socket": _make_socket,
        "a link to nothing": lambda path: path.symlink_to("nothing"),
        "a link to itself": lambda path: path.symlink_to(path.name),
        "a link to memory": lambda path: path.symlink_to("/proc/self/mem"),
        "not there": lambda path: None,
        "no byte": lambda path: path.touch(),
        "text": lambda path: path.write_text("RIFF and more\n" * 9),
        "a sparse terabyte": _make_sparse,
        "a folder of folders": lambda path: (path / "b.wav").mkdir(parents=True),
    }
    if os.geteuid() == 0:
        makers |= {
            f"the device {minor}": _device_maker(minor) for minor in (3, 5, 7, 9)
        }
    for title, make in makers.items():

        def write(folder: Path, make=make) -> Path:
            make(folder / "a.wav")
            return folder / "a.wav"

        yield _case(common, title, write, {FILE_FAILED})


def _make_socket(path: Path) -> None:
    os.chdir(path.parent)  # an address may have 108 bytes
    socket.socket(socket.AF_UNIX).bind(path.name)


def _make_sparse(path: Path) -> None:
    with open(path, "wb") as f:
        f.truncate(2**40)


def _device_maker(minor: int) -> Callable[[Path], None]:
    """Of the kinds null (3), zero (5), full (7) and urandom (9)."""
    return lambda path: os.mknod(path, 0o20666, os.makedev(1, minor))


def _damaged(
    damage: tuple[str, float | None, Sequence[tuple[float, int]]], number: int
) -> Callable[[Path], Path]:
    """Cut a file off at a share of its length; change bytes near its beginning."""
    kind, length, changes = damage

    def write(folder: Path) -> Path:
        path = folder / f"{number}.{kind.lower()}"
        subtype = soundfile.default_subtype(kind)
        soundfile.write(path, speech(), RATE_HZ, subtype, format=kind)
        data = bytearray(path.read_bytes())
        for place, change in changes:
            data[int(place * (len(data) - 1))] ^= change
        path.write_bytes(data[: None if length is None else int(length * len(data))])
        return path

    return write


def _with_header(header: dict) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        h = header
        head = _HEADER.pack(
            b"RIFF", h["riff_size"], b"WAVE", b"fmt ", h["format_size"],
            h["encoding"], h["n_channels"], h["rate_hz"], h["bytes_per_s"],
            h["block_bytes"], h["bits"], b"data", h["data_size"],
        )  # fmt: skip
        data = np.random.default_rng(0).bytes(h["n_bytes"])
        (folder / "a.wav").write_bytes(head + data)
        return folder / "a.wav"

    return write
