"""Model folders: what an export writes, and how it is read back safely."""

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
        "network": ["check_made_of"],
        "weights": ["StrictPretrainer"],
    },
)
