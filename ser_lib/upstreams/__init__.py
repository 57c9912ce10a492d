"""Upstreams: from waveforms or transcripts to frames.

Every upstream is a module called as ``upstream(wavs, wav_lens) -> Frames``. Its
attributes are ``reads`` (``"wav"``), ``dim`` (size of a frame), ``hop_samples``
(samples between frames), ``min_samples`` (shortest input) and ``frozen`` (nothing in it
is trained, so its frames can be computed once and stored). An upstream whose ``reads``
is ``"text"`` is called with a list of transcripts, and its ``hop_samples`` is None; one
whose ``reads`` is ``"id"`` with a list of the ids of utterances. The output for an
utterance does not depend on the other utterances in the batch.

An upstream whose lower layers can be frozen or trained at lower rates is a
``LayerStack``. An upstream whose models can be exported also has
``without_weights()``, which returns plain values that its class accepts as ``source``.

Classes are imported on first use: some need transformers, which takes longer to import
than PyTorch.
"""

import lazy_loader

# Classes that a model folder may name, and their modules.
UPSTREAMS = {
    "ApcUpstream": "apc",
    "CpcUpstream": "cpc",
    "DeloresUpstream": "delores",
    "Emotion2VecUpstream": "emotion2vec",
    "FbankUpstream": "fbank",
    "HuggingFaceUpstream": "huggingface",
    "MockingjayUpstream": "mockingjay",
    "SequenceClassificationUpstream": "sequence_classification",
    "TextUpstream": "text",
    "Wav2VecUpstream": "wav2vec",
    "WhisperUpstream": "whisper",
}

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        **{module: [name] for name, module in UPSTREAMS.items()},
        "checkpoints": ["SUFFIXES", "local_checkpoint"],
        "emotion2vec": ["Emotion2VecUpstream", "save_emotion2vec"],
        "emotion2vec_network": ["Emotion2Vec"],
        "encoder": ["SpeechEncoder"],
        "families": [
            "FAMILIES",
            "class_of_family",
            "load_upstream",
            "published_source",
        ],
        "frame_files": ["FRAME_SUFFIXES", "TOLERANCE_S", "FrameFiles", "frames_file"],
        "frames": ["Frames", "sample_counts", "time_mask"],
        "fusion": ["align_frames", "frame_ratios"],
        "huggingface": ["HuggingFaceUpstream", "NEEDED_FILES", "local_encoder"],
        "layer_stack": ["LayerStack", "mixing_weights"],
        "layers": ["LayerSum"],
        "lora": [
            "Adapters",
            "add_lora",
            "average_lora",
            "load_lora",
            "lora_weights",
            "merge_lora",
            "take_lora",
        ],
        "pretrained": ["WEIGHT_FILES"],
        "standardisation": ["FrameStandardiser", "frame_moments", "joined_moments"],
        "weights": ["check_shapes", "load_strictly"],
    },
)
