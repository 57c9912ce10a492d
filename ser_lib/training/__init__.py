"""Training: the Brain, checkpoints and their average, and cache keys."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "assembly": ["make_brain"],
        "brain": ["EmotionBrain"],
        "cache_keys": [
            "HOW_IT_RUNS",
            "WITHOUT_EFFECT",
            "adapted_encoders",
            "result_key",
            "settings_key",
        ],
        "checkpoints": [
            "AtomicCheckpointer",
            "keep_best_and_newest",
            "load_average",
            "saved_modules",
        ],
        "finetuning": ["PASSED_ON", "finetuning_settings"],
        "fixed_frames": ["changes_frames"],
        "fold_files": ["discard_results", "write_results"],
        "history": ["TRAIN_LOG", "History"],
        "modality_dropout": ["check_modality_dropout"],
        "partial_finetuning": ["Group", "choose_weights"],
        "resumable_brain": ["ResumableBrain"],
        "run_folder": ["create_run_folder"],
        "step_log": ["copy_steps"],
    },
)
