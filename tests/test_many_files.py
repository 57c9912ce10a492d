"""Many files on several cores: what each gives alone, and no more memory than said."""

import threading

import numpy as np
import pytest
import torch
from model_folders import hubert_definition, speech, write_folder, write_wav

from ser_lib.inference import EmotionRecognizer
from ser_lib.inference import parallel as many_files

DURATIONS_S = [0.5, 2.0, 0.3, 1.1, 0.9, 1.6, 0.7]


def load(folder) -> EmotionRecognizer:
    return EmotionRecognizer.from_hparams(folder, run_opts={"device": "cpu"})


@pytest.fixture(scope="module")
def recognizers(tmp_path_factory) -> dict[str, EmotionRecognizer]:
    folder = tmp_path_factory.mktemp("models")
    base_norm = hubert_definition(folder / "encoder", "group")
    return {
        "fbank": load(write_folder(folder / "fbank", folds=(1, 2))),
        "hubert": load(write_folder(folder / "hubert", base_norm)),
    }


@pytest.fixture(scope="module")
def paths(tmp_path_factory) -> list:
    folder = tmp_path_factory.mktemp("audio")
    return [
        write_wav(folder / f"{i}.wav", speech(d, seed=i))
        for i, d in enumerate(DURATIONS_S)
    ]


@pytest.fixture
def seen(recognizers, monkeypatch) -> list[tuple]:
    """Note the shape, the thread and the number of threads of each batch."""
    seen, classify = [], EmotionRecognizer.classify_batch

    def note(self, wavs, *lens_and_names):
        thread = threading.current_thread()
        seen.append((tuple(wavs.shape), thread, torch.get_num_threads()))
        return classify(self, wavs, *lens_and_names)

    monkeypatch.setattr(EmotionRecognizer, "classify_batch", note)
    return seen


@pytest.mark.parametrize("kind", ["fbank", "hubert"])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_several_workers_give_what_each_file_gives_alone(
    recognizers, paths, kind, batch_size
):
    recognizer = recognizers[kind]
    alone = [recognizer.classify_file(path) for path in paths]
    torch.set_num_threads(3)
    found = recognizer.classify_files(paths, batch_size, progressbar=False)
    assert torch.get_num_threads() == 3
    for a, b in zip(alone, found, strict=True):
        torch.testing.assert_close(a[0], b[0], atol=1e-5, rtol=0)
        assert (a[2], a[3]) == (b[2], b[3])


def test_each_worker_has_its_share_of_the_threads(recognizers, paths, seen):
    torch.set_num_threads(5)
    recognizers["fbank"].classify_files(paths[:2], progressbar=False)
    assert [threads for *_, threads in seen] == [2, 2]
    assert threading.main_thread() not in [thread for _, thread, _ in seen]


def test_a_file_above_the_limit_is_classified_alone_with_all_threads(
    recognizers, paths, seen
):
    torch.set_num_threads(2)
    recognizers["fbank"].classify_files(paths, max_batch_s=3, progressbar=False)
    (first, *others) = seen
    # Two workers hold 1.5 s each at most: the files of 2.0 and 1.6 s are above that.
    assert first == ((1, 32000), threading.main_thread(), 2)
    assert others[0] == ((1, 25600), threading.main_thread(), 2)
    shapes = [shape for shape, *_ in others[1:]]
    assert max(n * samples for n, samples in shapes) <= 1.5 * 16000
    assert sum(n for n, _ in shapes) == len(paths) - 2


def test_a_large_model_takes_one_file_at_a_time(recognizers, paths, seen, monkeypatch):
    monkeypatch.setattr(many_files, "_LARGE_MODEL_WEIGHTS", 1)
    recognizers["fbank"].classify_files(paths, progressbar=False)
    assert [n for (n, _), *_ in seen] == [1] * len(paths)


def test_the_callers_autocast_holds(recognizers, paths):
    torch.set_num_threads(2)
    recognizer = recognizers["hubert"]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        alone = recognizer.classify_file(paths[0])[0]
        found = recognizer.classify_files(paths[:1] * 2, 1, progressbar=False)
    assert torch.equal(found[0][0], alone)
    assert not torch.equal(recognizer.classify_file(paths[0])[0], alone)


def test_an_error_of_a_worker_reaches_the_caller(recognizers, paths, tmp_path):
    torch.set_num_threads(2)
    silent = write_wav(tmp_path / "silent.wav", np.zeros(16000))
    with pytest.raises(ValueError, match=f"{silent} is silent"):
        recognizers["fbank"].classify_files([*paths, silent], 2, progressbar=False)
    assert torch.get_num_threads() == 2
