"""Files of frames made elsewhere: reading them, fusing them, and every bad input."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from speechbrain.utils.run_opts import RunOptions

from ser_lib.aggregators import CrossAttention, MeanPooling, StatisticsPooling
from ser_lib.corpora import Utterance
from ser_lib.dataio import check_frame_files
from ser_lib.folds import Fold
from ser_lib.model import EmotionModel
from ser_lib.settings import RECIPES, Settings
from ser_lib.training import settings_key
from ser_lib.upstreams import FbankUpstream, FrameFiles, frames_file

HPARAMS = RECIPES / "RAVDESS" / "hparams"
FRAMES = np.array([[1.0, 2.0], [3.0, 6.0]])
IDS = ["u0", "u1", "u2", "u3"]


def stream(folder: Path, size: int = 2, hop_s: float = 0.5) -> FrameFiles:
    return FrameFiles(folder, size, hop_s)


# ---- reading


def test_the_mean_and_deviation_of_the_file_are_the_embedding(tmp_path):
    np.save(tmp_path / "a.npy", FRAMES)
    np.save(tmp_path / "b.npy", np.zeros((5, 2)))
    branch = {"upstreams": ["face"], "aggregator": StatisticsPooling}
    model = EmotionModel(["sad", "angry"], {"face": stream(tmp_path)}, [branch])
    frames = model.frames(None, None, ids=["b", "a"])
    assert frames["face"].counts.tolist() == [5, 2]
    embedded = model.downstream.embed(frames)[1]
    np.testing.assert_allclose(embedded, [2.0, 4.0, 1.0, 2.0], atol=1e-4)


@pytest.mark.parametrize("dtype", ["<f2", "<f4", "<f8", ">f4"])
def test_every_floating_point_type_of_numpy_is_read(tmp_path, dtype):
    np.save(tmp_path / "a.npy", FRAMES.astype(dtype))
    found = stream(tmp_path).read("a")
    assert found.dtype == torch.float32
    np.testing.assert_array_equal(found, FRAMES)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_every_floating_point_type_of_safetensors_is_read(tmp_path, dtype):
    path = tmp_path / "a.safetensors"
    save_file({"face": torch.tensor(FRAMES, dtype=dtype)}, path)
    np.testing.assert_array_equal(stream(tmp_path).read("a"), FRAMES)


def test_an_id_that_contains_a_path_leads_into_a_subfolder(tmp_path):
    path = frames_file(tmp_path, "anna b/Büro, 1.wav")
    assert path == tmp_path / "anna b" / "Büro, 1.wav.npy"
    path.parent.mkdir()
    np.save(path, FRAMES)
    assert stream(tmp_path).present(["anna b/Büro, 1.wav", "x"]).tolist() == [1, 0]
    for outside in ("../u1", "a/../../u1"):
        with pytest.raises(ValueError, match=f"{outside} leads out .* column id"):
            frames_file(tmp_path, outside)


def test_the_output_does_not_depend_on_the_batch(tmp_path):
    for k, name in enumerate(IDS):
        np.save(tmp_path / f"{name}.npy", np.full((k + 1, 2), float(k)))
    values, counts = stream(tmp_path)(IDS[::-1])
    for name, row, count in zip(IDS[::-1], values, counts, strict=True):
        assert torch.equal(row[:count], stream(tmp_path)([name]).values[0])


class Trap:
    """If it is unpickled, it leaves a file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self):
        return Path.touch, (self.folder / "executed",)


def write_pickled(path: Path) -> None:
    np.save(path, np.array([[Trap(path.parent)]], dtype=object), allow_pickle=True)


def write_raw_pickle(path: Path) -> None:
    np.array([Trap(path.parent)], dtype=object).dump(path)


def write_archive(path: Path) -> None:
    with path.open("wb") as f:
        np.savez(f, FRAMES)


def write_truncated(path: Path) -> None:
    np.save(path, np.zeros((100, 2)))
    path.write_bytes(path.read_bytes()[:-8])


NOT_FINITE = np.array([[0.0, 1.0], [np.nan, np.inf], [0.0, 0.0]])
BAD_NPY = {
    "pickled": (write_pickled, r"u\.npy is not an array that can be read .*objects"),
    "raw pickle": (write_raw_pickle, r"u\.npy is not an array .*pickle"),
    "archive": (write_archive, r"u\.npy is an archive"),
    "truncated": (write_truncated, r"u\.npy is not an array that can be read"),
    "empty file": (Path.touch, r"u\.npy is not an array that can be read"),
    "text": (lambda p: p.write_text("1,2\n3,4\n"), r"u\.npy is not an array"),
    "no frames": (lambda p: np.save(p, np.zeros((0, 2))), r"\(0, 2\); .*\(frames, 2\)"),
    "size": (lambda p: np.save(p, np.zeros((9, 3))), r"\(9, 3\); .*\(frames, 2\)"),
    "one axis": (lambda p: np.save(p, np.zeros(9)), r"\(9,\); .*\(frames, 2\)"),
    "integers": (lambda p: np.save(p, np.ones((9, 2), int)), "type int64; .*floating"),
    "complex": (lambda p: np.save(p, np.ones((9, 2), complex)), "type complex128"),
    "nan": (lambda p: np.save(p, NOT_FINITE), "2 numbers .*not finite.* in frame 1"),
    "too large": (lambda p: np.save(p, np.full((1, 2), 1e300)), "2 numbers .*float32"),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", BAD_NPY)
def test_a_bad_npy_file_is_refused_by_name_and_nothing_of_it_runs(tmp_path, name):
    write, message = BAD_NPY[name]
    write(tmp_path / "u.npy")
    with pytest.raises(ValueError, match=message):
        stream(tmp_path).read("u")
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"a": torch.zeros(3, 2), "b": torch.zeros(1)}, r"\['a', 'b'\]; expected one"),
        ({}, r"\[\]; expected one"),
        ({"a": torch.zeros(3, 2, dtype=torch.int64)}, "int64; expected floating"),
        ({"a": torch.zeros(3, 5)}, r"\(3, 5\); expected \(frames, 2\)"),
        (b"half a header", "u.safetensors is not a safetensors file"),
    ],
)
def test_a_bad_safetensors_file_is_refused_by_name(tmp_path, tensors, message):
    path = tmp_path / "u.safetensors"
    if isinstance(tensors, bytes):
        path.write_bytes(tensors)
    else:
        save_file(tensors, path)
    with pytest.raises(ValueError, match=message):
        stream(tmp_path).read("u")


def test_two_files_of_one_utterance_are_refused(tmp_path):
    np.save(tmp_path / "u.npy", FRAMES)
    save_file({"a": torch.zeros(2, 2)}, tmp_path / "u.safetensors")
    with pytest.raises(ValueError, match=r"u has two files .*u\.npy.*u\.safetensors"):
        stream(tmp_path).read("u")


def test_a_folder_that_is_missing_and_numbers_below_zero_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder .*nowhere"):
        stream(tmp_path / "nowhere")
    for size, hop_s in ((0, 0.01), (2, 0), (2, -0.01)):
        with pytest.raises(ValueError, match=f"size {size} and the hop {hop_s} s"):
            stream(tmp_path, size, hop_s)


# ---- fusing


@pytest.fixture
def model(tmp_path) -> EmotionModel:
    """Late fusion of a filter bank with frames every 40 ms, as of a video."""
    torch.manual_seed(0)
    for k, name in enumerate(IDS):
        np.save(tmp_path / f"{name}.npy", np.full((25, 2), k + 1.0))
    upstreams = {"fbank": FbankUpstream(n_mels=3), "face": stream(tmp_path, 2, 0.04)}
    branches = [{"upstreams": [name], "aggregator": MeanPooling} for name in upstreams]
    return EmotionModel(["sad", "angry"], upstreams, branches).eval()


def test_early_fusion_stands_the_frames_side_by_side_at_the_slower_hop(model):
    branch = {"upstreams": ["fbank", "face"], "aggregator": MeanPooling}
    early = EmotionModel(["sad", "angry"], dict(model.upstreams), [branch])
    assert early.downstream.branches[0].ratios == {"fbank": 4, "face": 1}
    frames = early.frames(torch.randn(2, 16000), torch.ones(2), ids=["u1", "u3"])
    fused = early.downstream.branches[0].fuse(frames)
    assert fused.counts.tolist() == [25, 25]
    assert torch.equal(fused.values[..., 3:], frames["face"].values)
    step = frames["fbank"].values[:, 4:8].mean(1)  # four of 10 ms
    torch.testing.assert_close(fused.values[:, 1, :3], step)


def test_hops_that_do_not_fit_are_refused_with_both(tmp_path):
    upstreams = {"face": stream(tmp_path, 2, 1 / 30), "fbank": FbankUpstream(n_mels=3)}
    branch = {"upstreams": ["face", "fbank"], "aggregator": MeanPooling}
    with pytest.raises(ValueError, match=r"face has 533\.333 .*, fbank has 160"):
        EmotionModel(["sad"], upstreams, [branch])
    upstreams["fbank"] = stream(tmp_path, 3, 1 / 15)
    (only,) = EmotionModel(["sad"], upstreams, [branch]).downstream.branches
    assert only.ratios == {"face": 2, "fbank": 1}


def test_without_a_file_the_embedding_is_zero_if_that_is_allowed(model):
    face, wavs = model.upstreams["face"], (torch.randn(2, 16000), torch.ones(2))
    with pytest.raises(FileNotFoundError, match=r"u9 has no frames.*u9\.npy"):
        model(*wavs, ids=["u9", "u1"])
    face.may_lack = True
    found = model(*wavs, ids=["u9", "u1"])
    embedded = model.downstream.embed(model.frames(*wavs, ids=["u9", "u1"]))
    assert embedded[:, 3:].tolist() == [[0, 0], [2, 2]]
    assert torch.equal(found, model.downstream.classifier(embedded))


def test_each_stream_is_a_modality_of_its_own(model, tmp_path):
    hands = stream(tmp_path, 2, 0.04)
    upstreams = {**model.upstreams, "hands": hands}
    branches = [
        {"upstreams": ["fbank", "face"], "fusion": CrossAttention},
        {"upstreams": ["hands"], "aggregator": MeanPooling},
    ]
    several = EmotionModel(["sad", "angry"], upstreams, branches)
    assert several.downstream.modalities == ["face", "hands", "wav"]
    assert several.upstreams.present(["u1", "u9"])["hands"].tolist() == [True, False]


# ---- settings and data


def settings_of(folder: Path, name: str = "prosody_frozen", **given) -> Settings:
    sources = {"whisper_source": None} if "whisper" in name else {}
    values = {"frames_folder": str(folder), "frames_size": 2, "frames_hop_s": 0.04}
    return Settings.from_file(
        HPARAMS / f"{name}.yaml", {"data_folder": "DATA", **sources, **values, **given}
    )


def fold_of(duration_s: float = 1.0) -> Fold:
    rows = [Utterance(i, "", "sad", f"s{i}", duration_s) for i in IDS]
    return Fold(1, train=rows[:-2], valid=rows[-2:-1], test=rows[-1:])


def check(model: EmotionModel, duration_s: float = 1.0, **given) -> list[str]:
    face = model.upstreams["face"]
    settings = settings_of(face.folder, **{"trim_silence_db": None, **given})
    return check_frame_files(settings, model, [fold_of(duration_s)])


def early(model: EmotionModel) -> EmotionModel:
    branch = {"upstreams": ["fbank", "face"], "aggregator": MeanPooling}
    return EmotionModel(["sad", "angry"], dict(model.upstreams), [branch])


def test_frames_may_end_a_tenth_of_a_second_and_a_frame_from_the_recording(model):
    for duration_s in (0.87, 1.0, 1.13):  # 25 frames of 0.04 s, 0.14 s allowed
        check(model, duration_s)
    short = r"4 of 4 files of face .*0\.04 s(.|\n)*u0: 25 frames, 1\.00 s, but .*"
    with pytest.raises(
        ValueError, match=short + r"1\.20 s: 0\.20 s \(5 frames\) too s"
    ):
        check(model, 1.2)
    with pytest.raises(ValueError, match=r"0\.60 s: 0\.40 s \(10 frames\) too long"):
        check(model, 0.6)


def test_files_that_cannot_be_used_are_counted_and_named(model):
    folder = model.upstreams["face"].folder
    np.save(folder / "u1.npy", np.zeros((25, 3)))
    np.save(folder / "u3.npy", np.full((25, 2), np.nan))
    with pytest.raises(ValueError) as error:
        check(model)
    message = str(error.value)
    assert message.startswith("2 of 4 files of face cannot be used")
    assert "u1.npy has the shape (25, 3)" in message
    assert "u3.npy has 50 numbers that are not finite" in message


def test_missing_files_are_an_error_or_with_modality_dropout_counted(model):
    folder = model.upstreams["face"].folder
    for name in ("u1", "u2"):
        (folder / f"{name}.npy").unlink()
    with pytest.raises(ValueError, match="2 of 4 .* of face: .* for u1, u2.*dropout"):
        check(model)
    counted = "2 of 4 utterances of RAVDESS have no frames of face: used without."
    assert check(model, modality_dropout=0.3) == [counted]
    with pytest.raises(ValueError, match="2 of 4 .* face is standardised"):
        check(model, modality_dropout=0.3, standardise_by="speaker")
    with pytest.raises(ValueError, match="2 of 4 .* face is fused early with fbank"):
        check(early(model), modality_dropout=0.3)


def test_a_corpus_without_any_file_is_an_error_all_the_same(model, tmp_path):
    for name in IDS:
        (tmp_path / f"{name}.npy").unlink()
    with pytest.raises(ValueError, match="4 of 4 utterances of RAVDESS"):
        check(model, modality_dropout=0.3)


@pytest.mark.parametrize(
    ("name", "value"),
    [("trim_silence_db", 30), ("crop_s", 1.0), ("wav_augment", "anything")],
)
def test_speech_whose_times_change_is_not_fused_early(model, name, value):
    check(early(model))
    check(model, **{name: value})  # late fusion does not need times
    with pytest.raises(ValueError, match=f"{name} is set.* of face, .*fbank.*late"):
        check(early(model), **{name: value})


def test_there_are_no_frames_for_degraded_copies(model):
    with pytest.raises(ValueError, match="degraded_copies is 2, .* face for copies"):
        check(model, degraded_copies=2)


def test_a_folder_that_no_setting_names_is_refused(model, tmp_path):
    settings = settings_of(tmp_path / "other")
    with pytest.raises(ValueError, match=f"face in {tmp_path}, .*frames_folder"):
        check_frame_files(settings, model, [fold_of()])


@pytest.mark.parametrize(
    ("name", "value"), [("frames_size", 0), ("frames_hop_s", 0), ("frames_folder", 3)]
)
def test_a_setting_out_of_range_is_refused(tmp_path, name, value):
    with pytest.raises(ValueError, match=f"{name} on the command line is {value};"):
        settings_of(tmp_path, **{name: value})


def test_the_key_depends_on_the_content_of_the_files_and_not_on_where_they_are(
    tmp_path,
):
    def key(name: str) -> str:
        settings = settings_of(tmp_path / name, "whisper_prosody_late")
        return settings_key(settings, RunOptions())

    for name, values in (("a", FRAMES), ("b", FRAMES), ("c", FRAMES + 1)):
        (tmp_path / name / "sub").mkdir(parents=True)
        np.save(tmp_path / name / "sub" / "u.npy", values)
    (tmp_path / "b" / "README.txt").touch()
    assert key("a") == key("b") != key("c")
    np.save(tmp_path / "b" / "new.npy", FRAMES)
    assert key("a") != key("b")


def test_an_experiment_without_files_is_not_built_to_be_checked():
    for path in HPARAMS.glob("*.yaml"):
        text = Settings.from_file(path).text
        assert ("FrameFiles" in text) == ("prosody" in path.stem)


def test_a_model_that_reads_files_is_not_exported(model, monkeypatch, tmp_path):
    from ser_lib.export import run

    monkeypatch.setattr(run, "read_fold_info", lambda *a: {"settings_key": ""})
    monkeypatch.setattr(run, "load_trained", lambda *_, **__: (model, {}))
    with pytest.raises(ValueError, match=r"files of frames \(face\).*audio only"):
        run.export_run(tmp_path / "run", tmp_path / "out", [1])
    assert not (tmp_path / "out").exists()


# ---- openSMILE's descriptors


@pytest.fixture(scope="module")
def script() -> SimpleNamespace:
    import importlib.util

    path = RECIPES / "RAVDESS" / "opensmile_frames.py"
    spec = importlib.util.spec_from_file_location("opensmile_frames", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_missing_opensmile_says_what_to_install(script, monkeypatch, tmp_path):
    import sys

    monkeypatch.setitem(sys.modules, "opensmile", None)
    with pytest.raises(
        ModuleNotFoundError, match=r"install -r extra_requirements\.txt"
    ):
        script.write_descriptors([], tmp_path, tmp_path)


def test_descriptors_are_what_the_upstream_reads_and_are_written_once(script, tmp_path):
    pytest.importorskip("opensmile", reason="openSMILE is not installed")
    import soundfile

    noise = np.random.default_rng(0).normal(0, 0.1, 16000)
    soundfile.write(tmp_path / "a.wav", noise, 16000)
    rows = [Utterance("of a/a.wav", "a.wav", "sad", "A", 1.0)]
    out = tmp_path / "frames"
    assert script.write_descriptors(rows, tmp_path, out) == 1
    frames = FrameFiles(out, 25, 0.01).read("of a/a.wav")
    assert frames.shape == (96, 25)  # windows of 60 ms
    assert script.write_descriptors(rows, tmp_path, out) == 0
