"""Write model folders, and load them safely."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "description": [
            "CARD_FILE",
            "MODEL_FILE",
            "ONNX_FILE",
            "OWN_FILES",
            "WEIGHT_FILES",
            "write_model_info",
            "write_member",
        ],
        "hub": ["hub_licence", "push_to_hub"],
        "network": ["check_exportable"],
        "shared": ["SHARED_FILE"],
        "tasks": ["describe_tasks", "further_tasks"],
        "weights": ["StrictPretrainer"],
    },
)
