"""A complete Hugging Face speech classifier as the initialisation of an EmotionModel.

``HubertForSequenceClassification`` and its counterparts for wav2vec 2.0, WavLM and
data2vec consist of an encoder, the weighted sum of its layers if the configuration says
so, a linear projector, the mean over time and a linear classifier. Everything below the
mean is an upstream here, ``MeanPooling`` is the mean, and the weights of the classifier
are copied to ours.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import nn
from transformers import AutoModelForAudioClassification

from ser_lib.upstreams.frames import Frames
from ser_lib.upstreams.huggingface import HuggingFaceUpstream
from ser_lib.upstreams.layers import LayerSum
from ser_lib.upstreams.pretrained import has_weights, load_pretrained
from ser_lib.upstreams.published_classifier import copy_rows


class SequenceClassificationUpstream(HuggingFaceUpstream):
    """Encoder, layer sum and projector of a speech classifier, all of them trained.

    Arguments
    ---------
    source : str | Mapping
        Local folder or hub id of a classifier, such as
        ``superb/hubert-large-superb-er``; or the result of ``without_weights``.
    label_names : Mapping[str, str] | None
        Our label -> the classifier's name for it, where they differ.
    freeze_feature_extractor : bool
        Do not train the convolutional front end.

    Raises
    ------
    ValueError
        If the weights are not exactly those of a classifier: one is missing, unexpected
        or of another shape.

    Example
    -------
    >>> from ser_lib.synthetic.encoders import write_tiny_classifier
    >>> folder = write_tiny_classifier(getfixture("tmp_path"), ["neu", "hap"])
    >>> upstream = SequenceClassificationUpstream(folder, {"happy": "hap"})
    >>> upstream(torch.randn(2, 16000), torch.tensor([1.0, 0.5])).values.shape
    torch.Size([2, 49, 32])
    >>> classifier = torch.nn.Linear(32, 2)
    >>> upstream.initialise_classifier(classifier, ["happy", "neu"])
    """

    def __init__(
        self,
        source: str | Mapping[str, dict],
        label_names: Mapping[str, str] | None = None,
        freeze_feature_extractor: bool = False,
    ) -> None:
        super().__init__(
            source if isinstance(source, Mapping) else str(source),
            freeze_feature_extractor=freeze_feature_extractor,
        )
        self.label_names = dict(label_names or {})
        self.dim = self.projector.out_features
        if self._layer_weights is not None:
            self.layer_mix = LayerSum(self.model.config.num_hidden_layers + 1)
            self.model.config.layerdrop = 0.0  # the sum needs all layers
            self.layer_mix.weights.data.copy_(self._layer_weights)

    def _from_pretrained(self, source: str, *args: str, **kwargs: str) -> None:
        """Load the whole classifier, or leave it random if there are no weights."""
        is_loaded = has_weights(Path(source))
        if is_loaded:
            auto_class = AutoModelForAudioClassification
            whole = load_pretrained(auto_class, source, self.config)
        else:
            whole = AutoModelForAudioClassification.from_config(
                self.config, dtype="float32", trust_remote_code=False
            )
        self.model, self.projector = whole.base_model, whole.projector
        weights = getattr(whole, "layer_weights", None)
        self._layer_weights = None if weights is None else weights.detach()
        # Not a module: these weights will belong to the classifier they are copied to.
        self._classifier = whole.classifier.requires_grad_(False).state_dict()
        self._is_loaded = is_loaded

    @property
    def above_stack(self) -> list[nn.Module]:
        """The projector, in addition to what is above the layers of the encoder."""
        return [*super().above_stack, self.projector]

    def forward(self, wavs: torch.Tensor, wav_lens: torch.Tensor) -> Frames:
        """Encode and project a padded batch to (batch, time, dim) frames."""
        values, counts = super().forward(wavs, wav_lens)
        return Frames(self.projector(values), counts)

    def initialise_classifier(
        self, classifier: nn.Linear, labels: Sequence[str]
    ) -> None:
        """Copy the checkpoint's classifier, with its rows in the order of our labels.

        An upstream that was built without weights leaves the classifier unchanged.

        Arguments
        ---------
        classifier : nn.Linear
            Our classifier, from the mean of the frames to ``labels``.
        labels : Sequence[str]
            Our labels, in the order of the logits.

        Raises
        ------
        ValueError
            If the checkpoint's labels (``id2label`` in its ``config.json``) are not
            ours, or the classifier takes embeddings of another size.
        """
        if not self._is_loaded:
            return
        names = [name for _, name in sorted(self.model.config.id2label.items())]
        needed = [self.label_names.get(label, label) for label in labels]
        if sorted(names) != sorted(needed):
            raise ValueError(
                f"The classifier of {self.model.config.name_or_path} has the labels "
                f"{names} (id2label in its config.json), but the model needs {needed}. "
                f"Set label_names (our label: the name there) for each of {labels}."
            )
        rows = [names.index(name) for name in needed]
        copy_rows(classifier, self._classifier, rows)
