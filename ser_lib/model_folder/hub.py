"""Find models in folders or on the Hugging Face hub, and upload them."""

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
from ser_lib.model_folder.shared import SHARED_FILE

_COMMON_LICENCE = re.compile(r"CC (BY|BY-SA|BY-NC|BY-ND|BY-NC-SA|BY-NC-ND) [\d.]+")
NEEDED_PATTERNS = [MODEL_FILE, WEIGHT_FILES, SHARED_FILE]


def local_model(source: str | Path, fetch_config: FetchConfig | None = None) -> Path:
    """Find a model folder on disk, in the hub's cache, or on the hub.

    A model in the cache is found without a network call.

    Arguments
    ---------
    source : str | Path
        A folder, or a hub id (owner/name).
    fetch_config : FetchConfig | None
        SpeechBrain's download settings; revision, token, allow_network,
        allow_updates and huggingface_cache_dir are respected.

    Raises
    ------
    FileNotFoundError
        If there is no such folder, and the model is neither in the hub's cache nor
        can be downloaded.
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
            f"The model folder {source} does not exist. Expected a folder written by "
            f"python -m ser_lib.export, or a hub id (owner/name); it is not in the "
            f"hub's cache, and the download failed ({type(err).__name__})."
        ) from err


def _cached(source: str, options: Mapping) -> Path | None:
    """Return the folder of a model in the cache, or None if any of it is missing."""
    try:
        folder = Path(snapshot_download(source, local_files_only=True, **options))
        info = read_model_info(folder)
    except (LocalEntryNotFoundError, FileNotFoundError):
        return None
    needed = [f"{name}.safetensors" for name in info["members"]]
    needed += [SHARED_FILE] if "shared" in info else []
    return folder if all((folder / name).is_file() for name in needed) else None


def push_to_hub(folder: str | Path, name: str) -> str:
    """Upload a model folder to the hub; a new repository is private.

    Other files in the folder are not uploaded.

    Arguments
    ---------
    folder : str | Path
        A model folder.
    name : str
        owner/name.

    Returns
    -------
    str
        URL of the repository.

    Raises
    ------
    OSError
        If the hub cannot be reached or refuses the upload.
    """
    api = HfApi()
    try:
        address = api.create_repo(name, private=True, exist_ok=True)
        api.upload_folder(
            repo_id=name, folder_path=str(folder), allow_patterns=list(OWN_FILES)
        )
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        raise OSError(
            f"Could not upload {folder} to {name} ({type(error).__name__}: {error}). "
            f"Log in with 'hf auth login' and run: hf upload {name} {folder}"
        ) from error
    return str(address)


def hub_licence(licence: str | None) -> dict[str, str]:
    """Return the licence fields of a card on the hub.

    Arguments
    ---------
    licence : str | None
        Licence of the training data, as in ``corpus.yaml``; None if not stated.

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
