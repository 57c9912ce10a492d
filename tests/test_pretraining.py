"""Objectives of pre-training: they learn, and their encoders can be used."""

import pytest
import torch
from tiny_objectives import TINY, batch, every, loss_of

from ser_lib.pretraining import Data2VecObjective
from ser_lib.pretraining.objective import Objective
from ser_lib.pretraining.transformer import TransformerObjective
from ser_lib.upstreams.families import load_upstream
from ser_lib.upstreams.frames import time_mask


def lowest_weight(objective: Objective) -> torch.Tensor:
    if isinstance(objective, TransformerObjective):
        return next(objective.encoder.feature_extractor.parameters())
    return next(objective.network.parameters())


@every
def test_the_loss_falls_on_one_batch_and_its_gradient_reaches_the_first_layer(method):
    objective = TINY[method]().train()
    trained = [p for p in objective.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=0.005)
    losses = []
    for step in range(8):
        objective.set_progress(step / 8)
        loss = loss_of(objective, *batch())
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        assert lowest_weight(objective).grad.abs().sum() > 0
        optimizer.step()
        objective.after_step()
    assert losses[-1] < 0.97 * losses[0]


@every
def test_what_stands_in_the_padding_does_not_change_the_loss(method):
    objective = TINY[method]().eval()
    with torch.no_grad():
        silent, noisy = (loss_of(objective, *batch(value)) for value in (0.0, 0.5))
    assert silent.item() == pytest.approx(noisy.item(), rel=1e-4)


@every
def test_a_saved_encoder_gives_the_same_frames_as_an_upstream(method, tmp_path):
    objective = TINY[method]().eval()
    objective.save(tmp_path)
    upstream = load_upstream(method, str(tmp_path), freeze=True, layer="last")
    wavs, n_samples = batch()
    with torch.no_grad():
        frames = upstream(wavs, n_samples / wavs.shape[1])
        if isinstance(objective, TransformerObjective):
            ours = objective.batch(wavs, n_samples)
            expected = objective.encoder(
                ours.wavs, attention_mask=ours.inside
            ).last_hidden_state
            counts = ours.counts
        else:
            states, counts = objective.network(wavs, n_samples)
            expected = states[-1]
    assert torch.equal(frames.counts, counts)
    for ours, theirs, n in zip(frames.values, expected, counts, strict=True):
        torch.testing.assert_close(ours[:n], theirs[:n], atol=1e-5, rtol=1e-5)


@every
def test_the_shortest_audio_that_an_objective_names_has_a_loss(method):
    objective = TINY[method]().eval()
    n = objective.min_samples
    with torch.no_grad():
        assert torch.isfinite(objective(torch.randn(2, n), torch.tensor([n, n])))


def test_the_targets_of_data2vec_do_not_depend_on_the_padding():
    # The teacher is a copy: it keeps the padding out of its positions, too.
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    objective = Data2VecObjective({**sizes, "conv_dim": [16] * 7}, top_layers=2)
    frames, counts = torch.randn(2, 60, 32), torch.tensor([60, 25])
    padded = objective.targets(frames, time_mask(counts, 60))[1, :25]
    alone = objective.targets(frames[1:, :25], time_mask(counts[1:], 25))[0]
    torch.testing.assert_close(padded, alone, atol=1e-5, rtol=0)
