"""Corpora: a parser for each corpus turns its files into a manifest."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "attributes": ["VOTES", "asked_attributes", "keep_attributes"],
        "audio_hashes": ["with_audio_hashes"],
        "csv_rows": ["Row", "SPLITS", "read_csv_table"],
        "csv_table": ["folder_of", "read_recordings"],
        "label_map": [
            "LabelMap",
            "describe_map",
            "map_labels",
            "mapped_labels",
            "new_labels",
        ],
        "manifest": [
            "Utterance",
            "as_row",
            "read_manifest",
            "validate",
            "write_manifest",
        ],
        "without_majority": ["WithoutMajority"],
        "tasks": ["target_of", "with_labels"],
        "reading": ["mapped_corpus", "protocol", "read_utterances"],
    },
)
