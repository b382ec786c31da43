"""Clips of every kind as frames, and what is no clip."""

import builtins

import av
import numpy as np
import pytest
from PIL import Image

from unrolled.data import frames, pictures
from unrolled.errors import MISSING_EXTRA, UserError

LEVELS = [10, 60, 110, 160, 210, 250]


def shown(levels=LEVELS, side=24):
    return [np.full((side, side, 3), level, np.uint8) for level in levels]


def film(path, levels=LEVELS, side=64):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = side * 2, side, "yuv420p"
        for level in levels:
            frame = av.VideoFrame.from_ndarray(np.full((side, side * 2, 3), level, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def made(kind, folder):
    """The same six frames as a clip of a kind."""
    if kind == "folder":
        (folder / "clip").mkdir()
        for i, frame in enumerate(shown()):
            (folder / "clip" / f"frame{i + 7}.png").write_bytes(pictures.png(frame))  # 7 … 12: names sort as numbers
        (folder / "clip" / ".hidden.png").write_bytes(b"")
        return folder / "clip"
    if kind in ("strip", "column"):
        (folder / "clip.png").write_bytes(pictures.png(np.concatenate(shown(), 1 if kind == "strip" else 0)))
        return folder / "clip.png"
    if kind in ("gif", "webp"):
        first, *rest = (Image.fromarray(frame) for frame in shown())
        first.save(folder / f"clip.{kind}", save_all=True, append_images=rest, **({"lossless": True} if kind == "webp" else {}))
        return folder / f"clip.{kind}"
    return film(folder / "clip.mp4")


KINDS = ("folder", "strip", "column", "gif", "webp", "film")


@pytest.mark.parametrize("kind", KINDS)
def test_a_clip_of_every_kind_gives_the_frames_asked_for(kind, tmp_path):
    path = made(kind, tmp_path)
    assert frames.info(path).frames == 6
    clip = frames.read(path, 16, lambda count: np.array([0, 2, 2, 5]))
    assert clip.frames.shape == (4, 16, 16, 3) and clip.frames.dtype == np.uint8 and clip.count == 6
    assert clip.numbers.tolist() == [0, 2, 2, 5]
    np.testing.assert_allclose(clip.frames.mean((1, 2, 3)), [10, 110, 110, 250], atol=6)
    assert len(frames.read(path, 16, frames.each(1)).frames) == 6


def test_frames_are_in_their_places_and_colours(tmp_path):
    one = np.zeros((8, 8, 3), np.uint8)
    one[:4, 4:] = (250, 20, 30)
    (tmp_path / "a.png").write_bytes(pictures.png(np.concatenate([one, one[::-1]], 1)))
    clip = frames.read(tmp_path / "a.png", 8, frames.each(1))
    np.testing.assert_array_equal(clip.frames, [one, one[::-1]])


def test_transparent_strips_stand_on_white(tmp_path):
    clear = Image.new("P", (32, 16), 0)
    clear.putpalette([0, 0, 0, 200, 10, 10])
    clear.paste(1, (20, 4, 24, 8))
    clear.save(tmp_path / "a.png", transparency=0)
    clip = frames.read(tmp_path / "a.png", 16, frames.each(1))
    assert clip.frames[0].min() == 255 and clip.frames[1][5, 5].tolist() == [200, 10, 10] and clip.frames[1][0, 0].min() == 255


def test_one_frame_stands_for_each_part_of_a_clip():
    assert frames.middles(6, 3).tolist() == [1, 3, 5]
    assert frames.middles(9, 3).tolist() == [1, 4, 7]
    assert frames.middles(2, 4).tolist() == [0, 0, 1, 1]
    assert frames.at_most(8)(5).tolist() == [0, 1, 2, 3, 4] and len(frames.at_most(8)(50)) == 8
    assert frames.each(3)(8).tolist() == [0, 3, 6]
    generator = np.random.default_rng(1)
    drawn = np.stack([frames.drawn(20, 4, generator) for _ in range(300)])
    assert (drawn // 5 == np.arange(4)).all() and len(np.unique(drawn)) == 20
    assert (frames.drawn(3, 7, generator) < 3).all()


def test_the_clips_of_a_folder_are_found_in_order(tmp_path):
    made("folder", tmp_path)
    for name in ("10.gif", "9.gif", ".b.gif", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "empty").mkdir()
    assert [path.name for path in frames.clips(tmp_path)] == ["9.gif", "10.gif", "clip"]
    with pytest.raises(UserError, match="there is no clip in"):
        frames.clips(tmp_path / "empty")
    with pytest.raises(UserError, match="has no frame in it"):
        frames.info(tmp_path / "empty")
    with pytest.raises(UserError, match=r"the clip `.*clap` does not exist") as error:
        frames.info(tmp_path / "clap")
    assert error.value.fix == "did you mean `clip`?"


def test_a_picture_that_is_no_strip_is_told(tmp_path):
    (tmp_path / "a.png").write_bytes(pictures.png(np.zeros((20, 50, 3), np.uint8)))
    with pytest.raises(UserError, match="is one picture of 50 x 20 pixels: no clip, and no strip of square frames"):
        frames.info(tmp_path / "a.png")


def test_limits_are_checked_before_anything_is_decoded(tmp_path, monkeypatch):
    path = made("strip", tmp_path)
    monkeypatch.setattr(frames, "MOST_PIXELS", 6 * 24 * 24 - 1)
    monkeypatch.setattr(frames, "_of_picture", None)
    with pytest.raises(UserError, match=r"has 6 frames of 24 x 24 pixels; allowed are 100,000 frames and 3,455 pixels in all"):
        frames.read(path, 16, frames.each(1))


def test_a_film_of_too_large_frames_is_refused_by_its_header_and_by_its_pictures(tmp_path, monkeypatch):
    path = film(tmp_path / "a.mp4", LEVELS)
    about = frames.info(path)
    size = f"{about.width} x {about.height}"
    monkeypatch.setattr(pictures, "MOST_PIXELS", about.width * about.height - 1)
    with pytest.raises(UserError, match=f"has frames of {size} pixels; allowed are"):
        frames.read(path, 16, frames.each(1))
    monkeypatch.setattr(frames, "_of_film", lambda path: frames.Info(len(LEVELS), 1, 1))  # a header that lies
    with pytest.raises(UserError, match=r"the film `.*a.mp4` cannot be read"):
        frames.read(path, 16, frames.each(1))


def test_a_damaged_film_is_told(tmp_path):
    whole = film(tmp_path / "whole.mp4", LEVELS * 10).read_bytes()
    (tmp_path / "junk.mp4").write_bytes(b"junk" * 100)
    with pytest.raises(UserError, match=r"the film `.*junk.mp4` cannot be read: invalid data"):
        frames.info(tmp_path / "junk.mp4")
    (tmp_path / "list.mp4").write_text("#EXTM3U\n#EXTINF:1,\nhttp://localhost/secret.ts\n")
    with pytest.raises(UserError, match=r"the film `.*list.mp4` cannot be read"):
        frames.info(tmp_path / "list.mp4")
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="cannot be read"):
        frames.read(tmp_path / "cut.mp4", 16, frames.each(1))


def test_a_film_packed_in_an_unknown_way_is_told(tmp_path):
    whole = film(tmp_path / "whole.mp4").read_bytes()
    (tmp_path / "other.mp4").write_bytes(whole.replace(b"stsd", b"zzzz"))  # the box that says what the pictures are packed in
    with pytest.raises(UserError, match=r"the film `.*other.mp4` cannot be read: its codec is not known"):
        frames.info(tmp_path / "other.mp4")


def test_a_film_with_fewer_frames_than_packets_ends_early(tmp_path, monkeypatch):
    path = film(tmp_path / "a.mp4")
    monkeypatch.setattr(frames, "_of_film", lambda path: frames.Info(9, 64, 128))
    with pytest.raises(UserError, match=r"the film `.*a.mp4` ends early: 6 of 9 frames were read"):
        frames.read(path, 16, frames.each(1))
    monkeypatch.setattr(frames, "_of_film", lambda path: frames.Info(0, 64, 128))
    with pytest.raises(UserError, match=r"the film `.*a.mp4` has no frame"):
        frames.info(path)


def test_sound_alone_is_no_film(tmp_path):
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
    with pytest.raises(UserError, match="has no pictures in it, sound at most"):
        frames.info(tmp_path / "a.mkv")


def test_without_pyav_the_command_that_installs_it_is_told(tmp_path, monkeypatch):
    path = film(tmp_path / "a.mp4")
    real = builtins.__import__

    def without(name, *rest, **more):
        if name == "av":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserError, match="films need PyAV") as error:
        frames.info(path)
    assert error.value.code == MISSING_EXTRA and "unrolled[video]" in error.value.fix
