"""Weights of a model folder: loaded strictly, and only if they belong to it."""

import json
import logging
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from speechbrain.utils.fetching import FetchConfig

from ser_lib.hub import local_model
from ser_lib.model_folder import (
    FACTS_FILE,
    PACKAGES,
    WITNESSED,
    YAML_FILE,
    check_same,
    check_sum,
    read_facts,
    read_yaml,
)
from ser_lib.upstreams.weights import load_strictly

logger = logging.getLogger(__name__)


class StrictPretrainer:
    """Loads the weights of a model folder; SpeechBrain's own is not strict.

    It has the methods that SpeechBrain calls on the ``pretrainer`` of a
    ``hyperparams.yaml``. After ``load_collected``, ``facts`` holds ``model.json``.

    Arguments
    ---------
    loadables : Mapping[str, torch.nn.Module]
        Each member of the model by its name.
    """

    def __init__(self, loadables: Mapping[str, torch.nn.Module]) -> None:
        self.loadables = dict(loadables)
        self.folder: Path | None = None
        self.facts: dict = {}

    def set_collect_in(self, path: str | Path | None) -> None:
        """Do nothing: weights are read where they are, in the folder or the cache.

        Arguments
        ---------
        path : str | Path | None
            Not used.
        """

    def collect_files(
        self,
        default_source: str | Path,
        local_strategy: object = None,
        fetch_config: FetchConfig | None = None,
    ) -> None:
        """Find the folder, see :func:`ser_lib.hub.local_model`.

        Arguments
        ---------
        default_source : str | Path
            A folder or a hub id.
        local_strategy : object
            Not used: nothing is linked or copied.
        fetch_config : FetchConfig | None
            Settings of a download.
        """
        self.folder = local_model(default_source, fetch_config)

    def load_collected(self) -> None:
        """Check the folder and load its weights.

        Raises
        ------
        FileNotFoundError, ValueError
            If a file is missing, was changed, or does not belong to the others.
        """
        self.facts = read_facts(self.folder)
        read_yaml(self.folder, self.facts)
        _compare_versions(self.folder, self.facts["versions"])
        expected = list(self.facts["members"])
        if list(self.loadables) != expected:
            raise ValueError(
                f"{self.folder / YAML_FILE} builds {list(self.loadables)}; "
                f"{FACTS_FILE} lists {expected}."
            )
        for name, module in self.loadables.items():
            path = self.folder / f"{name}.safetensors"
            check_sum(path, self.facts["members"][name].get("sha256"))
            load_strictly(module, self._read_weights(path), path)
            check_same(path.with_name(YAML_FILE), "labels", module.labels, self.facts)

    def _read_weights(self, path: Path) -> dict[str, torch.Tensor]:
        try:
            with safe_open(path, "pt") as weights:
                witness = json.loads((weights.metadata() or {}).get("facts", "{}"))
                for key in WITNESSED:
                    check_same(path, key, witness.get(key), self.facts)
                return {key: weights.get_tensor(key) for key in weights.keys()}
        except SafetensorError as error:
            raise ValueError(
                f"{path} is not a file of weights in the safetensors format ({error}). "
                f"Nothing of it was run. Do not use the folder."
            ) from error


def _compare_versions(folder: Path, versions: Mapping[str, str]) -> None:
    """Warn where the first number differs: figures may, though the weights fit."""
    for name in PACKAGES:
        made_with, here = str(versions.get(name)), version(name)
        if made_with.split(".")[0] != here.split(".")[0]:
            logger.warning(
                "%s was made with %s %s, here is %s: results may differ.",
                *(folder, name, made_with, here),
            )
