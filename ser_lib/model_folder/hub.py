"""Models on the Hugging Face hub, in its cache, and in folders."""

import re
from collections.abc import Mapping
from pathlib import Path

from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
)
from speechbrain.utils.fetching import FetchConfig

from ser_lib.model_folder.description import (
    MODEL_FILE,
    OWN_FILES,
    WEIGHT_FILES,
    read_model_info,
)

_COMMON_LICENCE = re.compile(r"CC (BY|BY-SA|BY-NC|BY-ND|BY-NC-SA|BY-NC-ND) [\d.]+")
NEEDED_PATTERNS = [MODEL_FILE, WEIGHT_FILES]


def local_model(source: str | Path, fetch_config: FetchConfig | None = None) -> Path:
    """Find a model folder: on this disk, in the hub's cache, or on the hub.

    A model that is in the cache is found without a network call.

    Arguments
    ---------
    source : str | Path
        A folder, or a hub id (owner/name).
    fetch_config : FetchConfig | None
        SpeechBrain's settings of a download; revision, token, allow_network,
        allow_updates and huggingface_cache_dir are heeded.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    FileNotFoundError
        If there is no such folder, or the hub cannot be reached and its cache does
        not hold the model.
    """
    folder, config = Path(source).expanduser(), fetch_config or FetchConfig()
    if folder.is_dir():
        return folder
    options = {
        "revision": config.revision,
        "token": config.token or None,
        "cache_dir": config.huggingface_cache_dir,
        "allow_patterns": NEEDED_PATTERNS,
    }
    try:
        if not config.allow_updates:
            cached = _cached(str(source), options)
            if cached is not None:
                return cached
        offline = not config.allow_network
        return Path(snapshot_download(str(source), local_files_only=offline, **options))
    except (LocalEntryNotFoundError, HfHubHTTPError, HFValidationError, OSError) as err:
        raise FileNotFoundError(
            f"There is no model folder {source}. Expected a folder that python -m "
            f"ser_lib.export wrote, or a hub id (owner/name); the hub's cache does not "
            f"hold it, and the hub did not give it ({type(err).__name__})."
        ) from err


def _cached(source: str, options: Mapping) -> Path | None:
    """Look into the cache, which may hold a model in part."""
    try:
        folder = Path(snapshot_download(source, local_files_only=True, **options))
        missing = [
            n for n in read_model_info(folder)["members"] if not _file(folder, n)
        ]
    except (LocalEntryNotFoundError, FileNotFoundError):
        return None
    return None if missing else folder


def _file(folder: Path, member: str) -> Path | None:
    path = folder / f"{member}.safetensors"
    return path if path.is_file() else None


def push_to_hub(folder: str | Path, name: str) -> str:
    """Put a model on the hub, as a private repository if it is a new one.

    Files of your own that lie in the folder are not uploaded.

    Arguments
    ---------
    folder : str | Path
        A model folder.
    name : str
        owner/name.

    Returns
    -------
    str
        Its address.

    Raises
    ------
    OSError
        If the hub refuses it or cannot be reached; the folder stays as it is.
    """
    api = HfApi()
    try:
        address = api.create_repo(name, private=True, exist_ok=True)
        api.upload_folder(
            repo_id=name, folder_path=str(folder), allow_patterns=list(OWN_FILES)
        )
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        raise OSError(
            f"The hub did not take {folder} as {name} ({type(error).__name__}: "
            f"{error}). Log in with 'hf auth login' and run: hf upload {name} {folder}"
        ) from error
    return str(address)


def hub_licence(licence: str | None) -> dict[str, str]:
    """Write the licence of training data as the hub wants it.

    Arguments
    ---------
    licence : str | None
        As ``corpus.yaml`` has it; None where it is not stated.

    Returns
    -------
    dict[str, str]
        Fields of a card: a Creative Commons licence by its name, others in words.

    Example
    -------
    >>> hub_licence("CC BY-NC-SA 4.0")
    {'license': 'cc-by-nc-sa-4.0'}
    >>> hub_licence("free for research")
    {'license': 'other', 'license_name': 'see-training-data'}
    """
    if licence and _COMMON_LICENCE.fullmatch(licence):
        return {"license": licence.lower().replace(" ", "-")}
    return {"license": "other", "license_name": "see-training-data"}
