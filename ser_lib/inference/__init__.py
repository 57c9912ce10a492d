"""Recognise emotions in files, arrays, streams and long recordings."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "answers": [
            "ClassAnswer",
            "ValueAnswer",
            "answer_columns",
            "answer_row",
            "answers_by_task",
        ],
        "adaptation": ["PRIOR_S", "Adaptation", "check_adaptable"],
        "colours": ["COLOURS", "UNKNOWN_COLOUR", "text_colour"],
        "formats": ["FORMATS", "Timelines", "segment_rows", "write_timeline"],
        "load": ["load_recognizer"],
        "interface": ["Classified", "Recognizer"],
        "parallel": ["answer_wavs", "classify_wavs", "run_in_parallel"],
        "plot": ["timeline_figure"],
        "recognizer": ["EmotionRecognizer"],
        "speakers": ["speaker_line", "speaker_rows"],
        "speech": ["check_vad_is_installed"],
        "sureness": ["UNKNOWN", "is_calibrated", "sure_label", "threshold_for"],
        "timeline": [
            "CHANNEL_NAMES",
            "Timeline",
            "channel_timelines",
            "timeline_file",
        ],
        "turn_files": ["TURN_FORMATS", "read_turns"],
        "turns": ["Turn", "turn_timelines"],
        "windowing": ["VADS", "Windowing"],
        "windows": ["Window", "stream"],
        "window_cutter": ["check_lengths"],
    },
)
