"""From utterances to padded batches: samplers, loaders, augmentation, stored frames."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "augment": ["BandGains", "augment_frames", "augment_wavs", "random_crop"],
        "degraded_copies": ["DegradedCopy", "degrade", "with_degraded_copies"],
        "frame_files": ["check_frame_files"],
        "frame_store": [
            "FrameStore",
            "check_space",
            "encode_all",
            "frames_bytes",
            "frames_of_batch",
            "write_frames",
            "write_shared_frames",
        ],
        "inputs": ["fold_inputs"],
        "label_encoder": ["LABEL_ENCODER_FILE", "write_label_encoder"],
        "loaders": [
            "evaluation_sampler",
            "make_audio_reader",
            "make_loader",
            "make_loaders",
        ],
        "samplers": ["LengthBucketSampler"],
    },
)
