"""Training: the Brain, checkpoints and their average, and the keys of what is kept."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "cache_keys": ["WITHOUT_EFFECT", "settings_key"],
        "checkpoints": [
            "AtomicCheckpointer",
            "keep_best_and_newest",
            "load_average",
            "saved_modules",
        ],
        "finetuning": ["PASSED_ON", "stage_settings"],
        "fold_training": [
            "fold_inputs",
            "frames_folder",
            "train_fold",
            "trained_folder",
        ],
        "history": ["History"],
        "resumable_brain": ["ResumableBrain"],
        "step_log": ["copy_steps"],
    },
)
