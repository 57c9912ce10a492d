"""Text encoders (BERT) as upstreams: one frame per token of a transcript."""

import os

import torch
from speechbrain.integrations.huggingface.textencoder import TextEncoder
from torch import nn

from ser_lib.upstreams.frames import Frames
from ser_lib.upstreams.huggingface import local_encoder
from ser_lib.upstreams.layer_stack import LayerStack
from ser_lib.upstreams.pretrained import load_pretrained, named_settings

# Weights of other tasks, which a checkpoint may hold in addition to the encoder.
HEADS = (
    "classifier.",
    "cls.",
    "discriminator_predictions.",
    "generator_lm_head.",
    "generator_predictions.",
    "lm_head.",
    "pre_classifier.",
    "qa_outputs.",
    "vocab_",
)
POOLER = "pooler."  # not used here; checkpoints of masked language models lack it
NEEDED_TEXT_FILES = ("config.json", "tokenizer_config.json")


class TextUpstream(LayerStack, TextEncoder):
    """A Hugging Face text encoder as an upstream (Morais et al., row 10).

    Devlin et al., 2019, BERT, https://arxiv.org/abs/1810.04805. Loading and tokenising
    are SpeechBrain's. The frames of an utterance are those of all its tokens, including
    the two that BERT puts around a sentence, so an empty transcript has two frames.

    Arguments
    ---------
    source : str
        Local folder or hub id of a model with its tokenizer.
    freeze : bool
        Train nothing; the module then always stays in eval mode.

    Raises
    ------
    FileNotFoundError
        If the folder or one of its files is missing.
    ValueError
        If the weights are not exactly those of the encoder, except for heads of other
        tasks: see :func:`load_pretrained`.

    Example
    -------
    >>> from ser_lib.synthetic.encoders import write_tiny_bert
    >>> folder = str(getfixture("tmp_path"))
    >>> _ = write_tiny_bert(folder, ["we lost it", "so"])
    >>> upstream = TextUpstream(folder, freeze=True)
    >>> upstream(["We lost it", "so"]).counts
    tensor([5, 3])
    """

    reads = "text"
    hop_samples = None  # tokens have no times

    def __init__(self, source: str, freeze: bool = False) -> None:
        folder = local_encoder(source, NEEDED_TEXT_FILES)
        with named_settings(folder):
            super().__init__(str(folder), save_path=os.devnull, freeze=freeze)
        self.frozen = freeze
        self.dim = self.model.config.hidden_size
        # The pooler is not used: it would make distributed training fail and enlarge
        # checkpoints.
        if getattr(self.model, "pooler", None) is not None:
            self.model.pooler = None

    def _from_pretrained(self, source: str, *args: str, **kwargs: str) -> None:
        """Load all weights; an error names those that are missing."""
        self.model = load_pretrained(
            self.auto_class, source, self.config, HEADS, [POOLER]
        )

    @property
    def layer_stack(self) -> nn.ModuleList:
        """The transformer layers, the lowest first."""
        return self.model.encoder.layer

    def train(self, mode: bool = True) -> "TextUpstream":
        """Set the mode; a frozen encoder always stays in eval mode."""
        return super().train(mode and not self.frozen)

    def forward(self, texts: list[str]) -> Frames:
        """Encode one transcript per utterance to (batch, tokens, dim) frames.

        Raises
        ------
        ValueError
            If a transcript has more tokens than the encoder has positions.
        """
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            tokens = self.tokenizer(list(texts), return_tensors="pt", padding=True)
            counts = tokens["attention_mask"].sum(1)
            limit = self.model.config.max_position_embeddings
            if counts.max() > limit:
                longest = texts[int(counts.argmax())]
                raise ValueError(
                    f"The transcript {longest[:60]!r}... has {int(counts.max())} "
                    f"tokens; the text encoder takes at most {limit}. Split the "
                    f"utterance."
                )
            device = self.model.device
            values = self.model(**tokens.to(device)).last_hidden_state
        return Frames(values, counts.to(device))
