"""Settings: YAML files that extend each other, joined, checked and built."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "errors": [
            "COMMAND_LINE",
            "at_source",
            "naming_settings",
            "read_settings_text",
        ],
        "layers": ["stage_file"],
        "recipe": ["join_processes", "read_command_line", "run_recipe"],
        "settings": ["Settings"],
        "shipped": ["RECIPES", "find_settings"],
        "tasks": [
            "CLASSES",
            "DISTRIBUTION",
            "EMOTION",
            "SQUARED_ERROR",
            "Task",
            "VALUE",
            "read_tasks",
        ],
    },
)
