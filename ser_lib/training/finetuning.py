"""The settings of the experiment that fine-tunes an upstream of another experiment.

A downstream experiment names, for each fine-tuned upstream, the settings file of the
experiment that fine-tunes it::

    finetuned:
        hubert:
            hparams: hubert_finetune.yaml   # beside these settings or those they extend
            averaged_checkpoints: 5
            overrides: {}                   # settings of that experiment to change

Settings that both experiments have (data, encoder, seed) are passed on, so that one
option on the command line applies to both.
"""

from functools import lru_cache

from ser_lib.settings import Settings, stage_file

PASSED_ON = (
    "corpus",
    "label_map",
    "labels",
    "tasks",
    "corpora",
    "csv",
    "data_folder",
    "results_folder",
    "cache_folder",
    "seed",
    "num_workers",
    "tensorboard",
    "trim_silence_db",
    "degraded_copies",
    "keep_audio_in_memory",
)


@lru_cache(maxsize=100)  # needed several times per fold, and parsing is slow
def finetuning_settings(settings: Settings, upstream: str) -> Settings:
    """Return the settings of the experiment that fine-tunes an upstream.

    Arguments
    ---------
    settings : Settings
        Settings of the downstream experiment.
    upstream : str
        A key of its ``finetuned`` block.

    Raises
    ------
    ValueError
        If the block has keys other than hparams, averaged_checkpoints and overrides, or
        more checkpoints are to be averaged than are kept.
    """
    block = settings["finetuned"][upstream]
    expected = {"hparams", "averaged_checkpoints", "overrides"}
    if set(block) != expected:
        raise ValueError(
            f"finetuned: {upstream} in {settings.path} has {sorted(block)}; "
            f"expected {sorted(expected)}."
        )
    path = stage_file(settings.path, block["hparams"])
    finetuning = Settings.from_file(path)
    encoder = [k for k in settings if k.endswith("_source") or k in ("family", "layer")]
    shared = [key for key in encoder if key in finetuning]
    passed = {k: settings[k] for k in (*PASSED_ON, *shared) if k in settings}
    finetuning = Settings.from_file(path, {**passed, **(block["overrides"] or {})})
    if block["averaged_checkpoints"] > finetuning["kept_checkpoints"]:
        raise ValueError(
            f"finetuned: {upstream}: averaged_checkpoints is "
            f"{block['averaged_checkpoints']}, but {finetuning['experiment']} keeps "
            f"only {finetuning['kept_checkpoints']} (kept_checkpoints)."
        )
    return finetuning
