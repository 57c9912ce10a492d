"""Folds: splits of a corpus into train, valid and test parts, and their audit."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "across_corpora": ["trained_on"],
        "at_random": ["random_split"],
        "audit": ["audit_folds"],
        "by_speaker": ["every_nth_speaker", "leave_one_speaker_out"],
        "files": ["CORPUS_FILE", "fold_folders", "write_folds", "written_digests"],
        "fold": [
            "Fold",
            "chosen_folds",
            "fold_digest",
            "speaker_folds",
            "superb_folds",
        ],
        "official": ["official_split"],
        "prepared": ["prepared_folds", "record_preparation"],
        "summary": ["describe"],
        "training_only": ["with_training_only"],
    },
)
