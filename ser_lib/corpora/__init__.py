"""Corpora: a parser for each corpus turns its files into a manifest."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "audio_hashes": ["with_audio_hashes"],
        "csv_rows": ["Row", "SPLITS", "read_csv_table"],
        "label_map": ["mapped_labels", "new_labels"],
        "manifest": ["Utterance", "read_manifest", "validate", "write_manifest"],
        "reading": ["mapped_corpus", "protocol", "read_utterances"],
    },
)
