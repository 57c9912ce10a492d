"""Losses of pre-training, recomputed as their papers write them."""

import math

import numpy as np
import pytest
import torch
from speechbrain.utils.seed import seed_everything
from tiny_objectives import ENCODER, TINY, batch, loss_of
from torch.nn import functional as F

from ser_lib.pretraining import ApcObjective, Data2VecObjective, HubertObjective
from ser_lib.pretraining.clusters import LayerFeatures, MfccFeatures, fit_centroids
from ser_lib.pretraining.cpc import info_nce
from ser_lib.pretraining.delores import barlow_twins, mixed, resized_crops
from ser_lib.pretraining.mockingjay import alter
from ser_lib.pretraining.wav2vec import binary_loss, draw_others
from ser_lib.upstreams import Frames, HuggingFaceUpstream


def test_mockingjays_loss_is_the_mean_distance_of_the_chosen_frames():
    objective = TINY["mockingjay"]().eval()
    wavs, n_samples = batch()
    with torch.no_grad():
        loss = loss_of(objective, wavs, n_samples)
        frames = objective.network.front_end(wavs, n_samples)
        seed_everything(0, verbose=False)
        altered, is_chosen = alter(frames, mask_share=0.15, span_frames=7)
        states = objective.network.encode(Frames(altered, frames.counts))
        rebuilt = objective.head(states[-1])
    distances = []
    for i, n in enumerate(frames.counts.tolist()):
        for t in range(n):
            if is_chosen[i, t]:
                distances += (rebuilt[i, t] - frames.values[i, t]).abs().tolist()
    assert loss.item() == pytest.approx(np.mean(distances), rel=1e-5)


def test_frames_are_altered_in_spans_and_in_the_proportions_of_the_paper():
    values = torch.rand(600, 100, 2) + 1
    frames = Frames(values, torch.full((600,), 80))
    altered, is_chosen = alter(frames, mask_share=0.15, span_frames=4)
    assert not is_chosen[:, 80:].any()
    # round(80 * 0.15 / 4) = 3 spans of 4, which may overlap but do not coincide.
    assert is_chosen.sum(1).min() >= 6 and is_chosen.sum(1).max() == 12
    assert torch.equal(altered[~is_chosen], values[~is_chosen])
    cases = {"zero": 0, "other": 0, "same": 0}
    for new, old, chosen in zip(altered, values, is_chosen, strict=True):
        if (new[chosen] == 0).all():
            cases["zero"] += 1
        elif torch.equal(new[chosen], old[chosen]):
            cases["same"] += 1
        else:
            assert (new[chosen][:, None] == old[None]).all(-1).any(1).all()
            cases["other"] += 1
    # Standard deviations of the shares of 600: 0.016 and 0.012.
    assert cases["zero"] / 600 == pytest.approx(0.8, abs=0.06)
    assert cases["other"] / 600 == pytest.approx(0.1, abs=0.05)


def test_apcs_loss_is_the_mean_distance_to_the_frame_some_steps_ahead():
    objective = ApcObjective(16, num_layers=2, steps_ahead=3).eval()
    wavs, n_samples = batch()
    distances = []
    with torch.no_grad():
        for wav, n in zip(wavs, n_samples, strict=True):
            features, (count,) = objective.network.front_end(wav[None, :n], n[None])
            states = objective.network.encode(features)[-1]
            for t in range(count - 3):
                predicted = objective.network.postnet(states[0, t])
                distances.append((features[0, t + 3] - predicted).abs().mean().item())
        loss = objective(wavs, n_samples)
    assert loss.item() == pytest.approx(np.mean(distances), rel=1e-4)


def test_an_untrained_cpc_tells_the_frames_of_quiet_and_loud_audio_apart_alike():
    network = TINY["cpc"]().network.eval()
    wavs = torch.randn(1, 16000)
    with torch.no_grad():
        (loud, _), _ = network(wavs, torch.tensor([16000]))
        (quiet, _), _ = network(0.02 * wavs, torch.tensor([16000]))
    spread = [frames.std(dim=1).mean().item() for frames in (loud, quiet)]
    # With a bias in the first convolution, those of quiet audio hardly differ.
    assert spread[1] > 0.5 * spread[0]


def test_cpcs_loss_is_the_cross_entropy_of_the_right_frame():
    objective = TINY["cpc"]().eval()
    wavs, n_samples = batch()
    with torch.no_grad():
        loss = loss_of(objective, wavs, n_samples)
        (z, c), counts = objective.network(wavs, n_samples)
        valid = [(i, t) for i, n in enumerate(counts.tolist()) for t in range(n)]
        seed_everything(0, verbose=False)
        drawn = torch.randint(len(valid), (len(wavs), 8))
        by_step = []
        for k, predictor in enumerate(objective.predictors, start=1):
            losses = []
            for i, t in valid:
                if t + k >= counts[i]:
                    continue
                others = [valid[j] for j in drawn[i] if valid[j] != (i, t + k)]
                candidates = [(i, t + k), *others]
                predicted = predictor(c[i, t])
                scores = torch.stack([z[place] @ predicted for place in candidates])
                losses.append(-scores.log_softmax(0)[0].item())
            by_step.append(np.mean(losses))
    assert loss.item() == pytest.approx(np.mean(by_step), rel=1e-4)


def test_a_negative_that_is_the_right_frame_itself_does_not_count():
    one = torch.ones(1, 1, 1)
    negatives = torch.ones(1, 2, 1)
    is_right = torch.tensor([[[True, False]]])
    loss = info_nce(one, one, negatives, is_right)
    assert loss.item() == pytest.approx(math.log(2))  # of two, not of three


def test_wav2vecs_loss_is_the_sum_of_log_sigmoids():
    predicted, right = torch.tensor([[[1.0, 2.0]]]), torch.tensor([[[0.5, 1.0]]])
    distractors = torch.tensor([[[[1.0, 0.0], [-1.0, 1.0]]]])
    sigmoids = [1 / (1 + math.exp(-2.5)), 1 / (1 + math.exp(1)), 1 / (1 + math.exp(1))]
    loss = binary_loss(predicted, right, distractors)
    assert loss.item() == pytest.approx(-sum(math.log(s) for s in sigmoids))


def test_distractors_come_from_the_utterance_and_are_never_the_frame_itself():
    drawn = draw_others(torch.tensor([5, 3]), n_steps=5, n_drawn=200)
    for count, places in zip((5, 3), drawn, strict=True):
        for t in range(count):
            assert set(places[t].tolist()) == set(range(count)) - {t}


def test_the_gumbel_softmax_cools_from_2_to_a_half():
    objective = TINY["wav2vec2"]()
    found = []
    for done in (0.0, 0.35, 0.7, 1.0):
        objective.set_progress(done)
        found.append(objective.model.quantizer.temperature)
    assert found == pytest.approx([2.0, 1.0, 0.5, 0.5])


def test_wav2vec2s_loss_is_contrastive_plus_a_tenth_of_diversity_per_frame():
    objective = TINY["wav2vec2"]().eval()
    outputs = []
    objective.model.register_forward_hook(lambda *call: outputs.append(call[-1]))
    n_masked = []
    draw = objective.batch

    def counted(*args):
        drawn = draw(*args)
        n_masked.append(drawn.is_masked.sum())
        return drawn

    objective.batch = counted
    with torch.no_grad():
        loss = loss_of(objective, *batch())
    (output,) = outputs
    expected = output.contrastive_loss + 0.1 * output.diversity_loss
    assert loss.item() == pytest.approx(expected.item() / n_masked[0], rel=1e-5)


def test_huberts_loss_is_the_cross_entropy_of_the_clusters_of_masked_frames():
    objective = TINY["hubert"]().eval()
    wavs, n_samples = batch()
    with torch.no_grad():
        loss = loss_of(objective, wavs, n_samples)
        seed_everything(0, verbose=False)
        drawn = objective.batch(wavs, n_samples)
        is_masked = torch.from_numpy(drawn.is_masked)
        states = objective.model(
            drawn.wavs, attention_mask=drawn.inside, mask_time_indices=is_masked
        ).last_hidden_state
        losses = []
        for i, n in enumerate(n_samples.tolist()):
            mfcc = MfccFeatures()(wavs[i, :n])
            for t in torch.nonzero(is_masked[i])[:, 0].tolist():
                # 20 ms frames and 10 ms features; the last one may count twice.
                feature = mfcc[min(2 * t, len(mfcc) - 1)]
                cluster = (objective.centroids - feature).square().sum(1).argmin()
                predicted = objective.projection(states[i, t])
                cosines = F.cosine_similarity(predicted[None], objective.codes)
                losses.append(-(cosines / 0.1).log_softmax(0)[cluster].item())
    assert loss.item() == pytest.approx(np.mean(losses), rel=1e-4)


def test_huberts_masks_do_reach_the_transformer():
    objective = TINY["hubert"]().eval()
    wavs, n_samples = batch()
    with torch.no_grad():
        drawn = objective.batch(wavs, n_samples)
        inputs = {"attention_mask": drawn.inside}
        whole = objective.model(drawn.wavs, **inputs).last_hidden_state
        inputs["mask_time_indices"] = torch.from_numpy(drawn.is_masked)
        masked = objective.model(drawn.wavs, **inputs).last_hidden_state
    assert (whole - masked).abs().max() > 0.01


def test_the_second_iteration_clusters_a_layer_of_the_first(tmp_path):
    TINY["hubert"]().eval().save(tmp_path)
    features = LayerFeatures(str(tmp_path), layer=1)
    wav = 0.1 * torch.randn(16000)
    upstream = HuggingFaceUpstream(str(tmp_path), freeze=True)
    states, _ = upstream.hidden_states(wav[None], torch.ones(1))
    assert torch.equal(features(wav), states[1][0])
    objective = HubertObjective(
        ENCODER, n_clusters=4, cluster_source=str(tmp_path), cluster_layer=1
    )
    objective.prepare(iter([wav]), seed=0)
    assert objective.centroids.shape == (4, 32)
    assert torch.isfinite(objective(*batch()))
    with pytest.raises(ValueError, match="has 2 layers; cluster_layer is 3"):
        LayerFeatures(str(tmp_path), layer=3)


def test_two_clouds_have_two_centroids_and_too_few_frames_are_refused():
    random = np.random.default_rng(0)
    clouds = [random.normal(m, 0.1, (50, 2)).astype("float32") for m in (0, 5)]
    centroids = fit_centroids(clouds, n_clusters=2, seed=1)
    torch.testing.assert_close(
        centroids[centroids[:, 0].argsort()],
        torch.tensor([[0.0, 0.0], [5.0, 5.0]]),
        atol=0.1,
        rtol=0,
    )
    with pytest.raises(ValueError, match="100 frames .* 101 clusters"):
        fit_centroids(clouds, n_clusters=101, seed=1)


def test_data2vecs_teacher_follows_the_student_and_shares_its_positions():
    objective = Data2VecObjective(ENCODER, top_layers=1, decay=(0.9, 0.5))
    names = ["layers.0.attention.k_proj.weight", "pos_conv_embed.layers.0.conv.weight"]
    student = dict(objective.model.encoder.named_parameters())
    teacher = dict(objective.teacher.named_parameters())
    with torch.no_grad():
        for name in names:
            student[name].fill_(1.0)
            teacher[name].zero_()
    objective.after_step()  # 0.9 * 0 + 0.1 * 1
    means = [teacher[name].mean().item() for name in names]
    assert means == pytest.approx([0.1, 1.0])
    objective.set_progress(1.0)
    objective.after_step()  # 0.5 * 0.1 + 0.5 * 1
    assert teacher[names[0]].mean().item() == pytest.approx(0.55)
    assert not any(p.requires_grad for p in teacher.values())


def test_data2vecs_target_is_the_mean_of_normalised_feed_forward_outputs():
    objective = TINY["data2vec"]().eval()
    frames = torch.randn(1, 20, 32)
    inside = torch.ones(1, 20, dtype=torch.bool)
    targets = objective.targets(frames, inside)
    with torch.no_grad():  # the teacher's blocks, written out
        x = frames + objective.teacher.pos_conv_embed(frames)
        x = objective.teacher.layer_norm(x)
        expected = torch.zeros_like(x)
        for block in objective.teacher.layers:
            x = block.layer_norm(x + block.attention(x)[0])
            y = block.feed_forward(x)
            x = block.final_layer_norm(x + y)
            y = (y - y.mean(1)) / (y.var(1, unbiased=False) + 1e-5).sqrt()
            expected += y / 2
    torch.testing.assert_close(targets, expected, atol=1e-4, rtol=1e-4)


def test_more_top_layers_than_layers_are_refused():
    with pytest.raises(ValueError, match="top_layers is 3; the encoder has 2 layers"):
        Data2VecObjective(ENCODER, top_layers=3)


def test_deloress_loss_is_that_of_barlow_twins():
    first, second = torch.randn(6, 3), torch.randn(6, 3)
    a, b = (
        (x - x.mean(0)) / (x.var(0, unbiased=False) + 1e-5).sqrt()
        for x in (first, second)
    )
    expected = 0.0
    for i in range(3):
        for j in range(3):
            c = sum(a[n, i] * b[n, j] for n in range(6)).item() / 6
            expected += (1 - c) ** 2 if i == j else 0.1 * c**2
    loss = barlow_twins(first, second, off_diagonal_weight=0.1)
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_views_are_mixtures_in_power_of_unchanged_length(monkeypatch):
    values = torch.full((2, 6, 64), 1.0)
    values[1] = 3.0
    frames = Frames(values, torch.tensor([6, 4]))
    monkeypatch.setattr(torch, "rand", lambda *shape, **_: torch.full(shape, 0.5))
    monkeypatch.setattr(torch, "randperm", lambda n, **_: torch.tensor([1, 0]))
    mixtures = mixed(frames)  # 0.8 of the utterance, 0.2 of the other
    for value, own, other in zip(mixtures.values, (1, 3), (3, 1), strict=True):
        expected = math.log(0.8 * math.exp(own) + 0.2 * math.exp(other))
        torch.testing.assert_close(value, torch.full((6, 64), expected))
    monkeypatch.undo()
    views = resized_crops(frames)
    assert views.values.shape == values.shape
    assert torch.equal(views.counts, frames.counts)
    assert (views.values[1, 4:] == 0).all()
