"""Load the weights of a model folder strictly."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from speechbrain.utils.fetching import FetchConfig

from ser_lib.model import EmotionModel
from ser_lib.model_folder.checksums import check_sum
from ser_lib.model_folder.description import (
    MODEL_FILE,
    PACKAGES,
    REPEATED_IN_WEIGHTS,
    check_same,
    read_model_info,
)
from ser_lib.model_folder.hub import local_model
from ser_lib.model_folder.network import build_model
from ser_lib.model_folder.shared import (
    SHARED_FILE,
    Shapes,
    whole_shapes,
    whole_weights,
)
from ser_lib.upstreams import check_shapes, load_strictly
from ser_lib.utils.strict_json import MAX_BYTES, parse_json

logger = logging.getLogger(__name__)


class StrictPretrainer:
    """Builds the network of a model folder and loads its weights.

    It has the methods that SpeechBrain calls on the ``pretrainer`` of a
    ``hyperparams.yaml``; SpeechBrain's own is not strict. After ``load_collected``,
    ``model_info`` is the content of ``model.json`` and ``members`` has the models.
    """

    def __init__(self) -> None:
        self.members: dict[str, EmotionModel] = {}
        self.folder: Path | None = None
        self.model_info: dict = {}

    def set_collect_in(self, path: str | Path | None) -> None:
        """Do nothing: weights are read in place, from the folder or the cache."""

    def collect_files(
        self,
        default_source: str | Path,
        local_strategy: object = None,
        fetch_config: FetchConfig | None = None,
    ) -> None:
        """Find the folder, see ``hub.local_model``; ``local_strategy`` is not used."""
        self.folder = local_model(default_source, fetch_config)

    def load_collected(self) -> None:
        """Check the folder, build its network and load the weights.

        The network takes memory only after its shapes match all files of weights, so
        a description cannot allocate more than they do.

        Raises
        ------
        FileNotFoundError, ValueError
            If a file is missing, was changed, does not belong to the others, or
            describes anything but a network of ``ser_lib``.
        """
        self.model_info = read_model_info(self.folder)
        _compare_versions(self.folder, self.model_info["versions"])
        with torch.device("meta"):
            outline = self._build()
        paths = {name: self.folder / f"{name}.safetensors" for name in self._names}
        shared_path, shapes, shared = self.folder / SHARED_FILE, {}, {}
        if "shared" in self.model_info:
            check_sum(shared_path, self.model_info["shared"]["sha256"])
            shapes, _ = _read_header(shared_path)
        for name, path in paths.items():
            check_sum(path, self.model_info["members"][name]["sha256"])
            self._check_member(name, path, shapes, outline)
        if "shared" in self.model_info:
            shared = _read_weights(shared_path)
        for name, path in paths.items():
            model = self._build()
            load_strictly(model, whole_weights(_read_weights(path), shared, path), path)
            self.members[name] = model

    @property
    def _names(self) -> list[str]:
        return list(self.model_info["members"])

    def _build(self) -> EmotionModel:
        info = self.model_info
        return build_model(info["network"], info["labels"], self.folder / MODEL_FILE)

    def _check_member(
        self, name: str, path: Path, shared: Shapes, outline: EmotionModel
    ) -> None:
        shapes, metadata = _read_header(path)
        repeated = parse_json(metadata.get("model_info", "{}"), path)
        repeated = repeated if isinstance(repeated, dict) else {}
        for key in REPEATED_IN_WEIGHTS:
            check_same(path, key, repeated.get(key), self.model_info)
        if shared:
            adapters = self.model_info["members"][name]["adapters"]
            shapes = whole_shapes(shapes, shared, adapters, path)
        check_shapes(outline, shapes, path)


def _read_header(path: Path) -> tuple[Shapes, dict[str, str]]:
    """Return the shapes of the weights in a file, and its metadata."""
    with open(path, "rb") as f:
        header_bytes = int.from_bytes(f.read(8), "little")
    if header_bytes > MAX_BYTES:
        raise _not_weights(path, f"a header of {header_bytes} bytes")
    with _opened(path) as weights:
        shapes = {
            key: tuple(weights.get_slice(key).get_shape()) for key in weights.keys()
        }
        return shapes, weights.metadata() or {}


def _read_weights(path: Path) -> dict[str, torch.Tensor]:
    with _opened(path) as weights:
        return {key: weights.get_tensor(key) for key in weights.keys()}


@contextmanager
def _opened(path: Path) -> Iterator[safe_open]:
    try:
        with safe_open(path, "pt") as weights:
            yield weights
    except SafetensorError as error:
        raise _not_weights(path, error) from error


def _not_weights(path: Path, problem: object) -> ValueError:
    return ValueError(
        f"{path} is not a file of weights in the safetensors format ({problem}). It "
        f"was not run. Do not use the folder."
    )


def _compare_versions(folder: Path, versions: Mapping[str, str]) -> None:
    """Warn if the major version of a package differs: results may change."""
    for name in PACKAGES:
        made_with, installed = str(versions.get(name)), version(name)
        if made_with.split(".")[0] != installed.split(".")[0]:
            logger.warning(
                "%s was made with %s %s, installed is %s: results may differ.",
                *(folder, name, made_with, installed),
            )
