"""Audio in folders: links, closed folders, and what other programs leave."""

from pathlib import Path

import pytest
from other_user import open_folder, without_rights_of_root

from ser_lib.audio import find_audio, find_files
from ser_lib.pretraining import audio_folder


@pytest.fixture
def folder(tmp_path) -> Path:
    for name in ("data/b/2.wav", "data/b/notes.txt", "data/z/1.FLAC", "else/3.mp3"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path / "data"


def names(paths, folder) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in paths]


def test_linked_folders_are_searched(folder):
    (folder / "link").symlink_to("../else")
    assert names(find_audio(folder), folder) == ["b/2.wav", "link/3.mp3", "z/1.FLAC"]
    assert audio_folder.list_audio(folder, ["z/*"]) == ["b/2.wav", "link/3.mp3"]


def test_a_folder_with_several_paths_is_listed_once_and_circles_end(folder):
    (folder / "a").symlink_to("z")  # before "z" in the alphabet
    (folder / "b" / "up").symlink_to("..")
    (folder / "b" / "out").symlink_to("../../else")
    (folder / "z" / "out").symlink_to("../../else")
    (folder.parent / "else" / "back").symlink_to(folder)
    assert names(find_audio(folder), folder) == ["b/2.wav", "b/out/3.mp3", "z/1.FLAC"]


def test_links_that_lead_nowhere_are_told_where_they_look_like_audio(folder):
    (folder / "gone.wav").symlink_to("nowhere.wav")
    (folder / "gone").symlink_to("nowhere")
    assert "gone.wav" in names(find_audio(folder), folder)
    (folder / "self").symlink_to("self")
    with pytest.raises(OSError, match="The folder .*/self cannot be read: Too many"):
        find_files(folder)


def test_a_folder_that_cannot_be_read_is_an_error_that_names_it():
    with open_folder() as folder:
        for name in ("a.wav", "closed/b.wav", "z.wav"):
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).touch()
        (folder / "closed").chmod(0)
        told = []
        with without_rights_of_root():
            for find in (find_audio, find_files, audio_folder.list_audio):
                with pytest.raises(OSError, match="/closed cannot be read: Permission"):
                    find(folder)
            found = find_audio(folder, lambda path, message: told.append(path))
        assert names(found, folder) == ["a.wav", "z.wav"]
        assert told == [folder / "closed"]


def test_files_named_by_macos_are_no_audio(tmp_path):
    (tmp_path / "._a.wav").touch()
    (tmp_path / "b.txt").touch()
    with pytest.raises(FileNotFoundError, match="holds no audio.*found 1 other files"):
        find_audio(tmp_path)
