"""Stage A in the settings of stage B: which experiment fine-tunes an upstream.

A stage-B experiment names, for each fine-tuned upstream, the settings file of the
experiment that fine-tunes it::

    finetuned:
        hubert:
            hparams: hubert_finetune.yaml   # beside this corpus's other settings
            averaged_checkpoints: 5
            overrides: {}                   # settings of that experiment to change

What both stages have in common (data, encoder, seed) is passed on, so that one
option on the command line holds for both.
"""

from functools import lru_cache

from ser_lib.settings import Settings

PASSED_ON = (
    "corpus",
    "labels",
    "csv",
    "data_folder",
    "results_folder",
    "cache_folder",
    "seed",
    "num_workers",
    "tensorboard",
    "trim_silence_db",
    "keep_audio_in_memory",
)


@lru_cache(maxsize=100)  # asked for several times a fold, and parsing takes a while
def stage_settings(settings: Settings, upstream: str) -> Settings:
    """Give the settings of the experiment that fine-tunes an upstream.

    Arguments
    ---------
    settings : Settings
        Settings of the stage-B experiment.
    upstream : str
        A key of its ``finetuned`` block.

    Returns
    -------
    Settings
        Settings of the stage-A experiment.

    Raises
    ------
    ValueError
        If the block holds anything but hparams, averaged_checkpoints, overrides, or
        more checkpoints are to be averaged than are kept.
    """
    block = settings["finetuned"][upstream]
    expected = {"hparams", "averaged_checkpoints", "overrides"}
    if set(block) != expected:
        raise ValueError(
            f"finetuned: {upstream} in {settings.path} holds {sorted(block)}; "
            f"expected {sorted(expected)}."
        )
    path = settings.path.parent / block["hparams"]
    stage = Settings.from_file(path)
    encoder = [k for k in settings if k.endswith("_source") or k in ("family", "layer")]
    shared = [key for key in encoder if key in stage]
    wanted = [key for key in (*PASSED_ON, *shared) if key in settings]
    passed = {key: settings[key] for key in wanted}
    stage = Settings.from_file(path, {**passed, **(block["overrides"] or {})})
    if block["averaged_checkpoints"] > stage["kept_checkpoints"]:
        raise ValueError(
            f"finetuned: {upstream}: averaged_checkpoints is "
            f"{block['averaged_checkpoints']}, and kept_checkpoints of "
            f"{stage['experiment']} is {stage['kept_checkpoints']}; expected to "
            f"average at most as many as are kept."
        )
    return stage
