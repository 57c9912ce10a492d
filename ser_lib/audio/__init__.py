"""Audio: read files as samples at one rate, and check them."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "channels": ["Channel", "draw_channel"],
        "checks": [
            "SILENCE_DBFS",
            "check_batch",
            "check_duration",
            "mono_wav",
            "usable_wav",
        ],
        "degradations": [
            "Degradation",
            "babble",
            "change_gain",
            "change_speed",
            "clip",
            "cut_middle",
            "reverberate",
            "speech_shaped_noise",
            "telephone",
            "through_codec",
            "unchanged",
            "white_noise",
        ],
        "find": ["AUDIO_SUFFIXES", "find_audio", "find_files"],
        "read": [
            "audio_duration_s",
            "file_status",
            "open_audio",
            "read_audio",
            "trim_silence",
        ],
        "resampling": ["check_rate", "resample"],
        "samples": ["mono", "scaled"],
    },
)
