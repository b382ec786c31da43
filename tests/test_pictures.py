"""Pictures: what is read of each kind of file, and what is refused before and while it is decoded."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from unrolled.data import pictures
from unrolled.errors import UserError

RED, GREEN, WHITE = (255, 0, 0), (0, 255, 0), (255, 255, 255)


@pytest.fixture
def halves():
    """Red on the left, green on the right; 8 high, 16 wide."""
    array = np.zeros((8, 16, 3), np.uint8)
    array[:, :8], array[:, 8:] = RED, GREEN
    return Image.fromarray(array)


@pytest.mark.parametrize("ending", ["png", "bmp", "gif", "tiff", "ppm", "webp"])
def test_every_format_gives_the_same_pixels(ending, halves, tmp_path):
    path = tmp_path / f"a.{ending}"
    halves.save(path, **({"lossless": True} if ending == "webp" else {}))
    np.testing.assert_array_equal(pictures.read(path, 8, 16), np.asarray(halves))
    assert pictures.info(path) == (16, 8, 1)


def test_a_picture_is_turned_as_its_exif_says(halves, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise: the left becomes the top
    halves.save(tmp_path / "a.png", exif=exif)
    found = pictures.read(tmp_path / "a.png", 16, 8)
    assert tuple(found[0, 0]) == RED and tuple(found[15, 0]) == GREEN


def test_what_is_transparent_shows_white_whether_by_alpha_or_by_palette(halves, tmp_path):
    seen = halves.convert("RGBA")
    seen.putalpha(Image.fromarray(np.repeat([[255] * 8 + [0] * 8], 8, 0).astype(np.uint8)))
    seen.save(tmp_path / "a.png")
    palette = halves.convert("P", palette=Image.Palette.ADAPTIVE, colors=2)
    palette.save(tmp_path / "b.png", transparency=palette.getpixel((15, 0)))
    for name in ("a.png", "b.png"):
        found = pictures.read(tmp_path / name, 8, 16)
        assert tuple(found[0, 0]) == RED and tuple(found[0, 15]) == WHITE


@pytest.mark.parametrize("deep", [np.uint8, np.uint16])
def test_grey_of_8_and_of_16_bits_becomes_the_same_colours(deep, tmp_path):
    grey = np.linspace(0, 255, 64).round().reshape(8, 8).astype(np.uint8)
    Image.fromarray(grey.astype(deep) * (257 if deep is np.uint16 else 1)).save(tmp_path / "a.png")
    np.testing.assert_array_equal(pictures.read(tmp_path / "a.png", 8, 8), np.repeat(grey[:, :, None], 3, 2))


def test_a_smaller_picture_is_the_mean_of_what_its_pixels_cover(tmp_path):
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 200  # a reader that takes every n-th pixel sees all or nothing of them
    Image.fromarray(stripes).save(tmp_path / "a.png")
    found = pictures.read(tmp_path / "a.png", 8, 8)
    assert found.shape == (8, 8, 3) and np.abs(found.astype(int) - 100).max() <= 8


def test_a_large_jpeg_decoded_at_a_fraction_looks_the_same(tmp_path):
    y, x = np.mgrid[:600, :800]
    smooth = np.stack((x * 255 / 800, y * 255 / 600, (x + y) * 255 / 1400), -1).astype(np.uint8)
    Image.fromarray(smooth).save(tmp_path / "a.jpg", quality=95)
    Image.fromarray(smooth).save(tmp_path / "a.png")
    found, whole = (pictures.read(tmp_path / f"a.{kind}", 64, 64).astype(int) for kind in ("jpg", "png"))
    assert np.abs(found - whole).max() <= 6


def bomb(width: int, height: int) -> bytes:
    """A PNG of few bytes whose header claims so many pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = b""
    for kind, data in ((b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")):
        chunks += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return b"\x89PNG\r\n\x1a\n" + chunks


@pytest.mark.parametrize("size", [(10_000, 5_000), (30_000, 10), (60_000, 60_000)])
def test_a_picture_is_refused_for_its_size_before_it_is_decoded(size, tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(bomb(*size))
    with pytest.raises(UserError, match=r"a.png` has .* pixels; allowed are 40,000,000 in all, and sides of 20,000"):
        pictures.read(path, 64, 64)


def test_cut_off_damaged_and_other_files_are_told_by_name(halves, tmp_path):
    for kind in ("jpeg", "png", "gif"):
        memory = io.BytesIO()
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(memory, kind)
        (tmp_path / "a.jpg").write_bytes(memory.getvalue()[: len(memory.getvalue()) // 2])
        with pytest.raises(UserError, match=r"a.jpg` is damaged or cut off: "):
            pictures.read(tmp_path / "a.jpg", 8, 8)
    (tmp_path / "b.jpg").write_text("a text")
    with pytest.raises(UserError, match=r"b.jpg` is not a picture that can be read"):
        pictures.read(tmp_path / "b.jpg", 8, 8)
    with pytest.raises(UserError, match=r"cannot go on reading .*none.jpg`: no such file"):
        pictures.read(tmp_path / "none.jpg", 8, 8)


def test_a_postscript_file_starts_no_program(tmp_path):
    (tmp_path / "a.png").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n")
    with pytest.raises(UserError, match="is not a picture that can be read"):
        pictures.read(tmp_path / "a.png", 8, 8)


def test_the_pictures_of_a_folder_are_found_by_ending_and_hidden_ones_left_out(halves, tmp_path):
    (tmp_path / "deep").mkdir()
    for name in ("b.PNG", "deep/a.png", ".hidden.png"):
        halves.save(tmp_path / name)
    (tmp_path / "words.txt").write_text("no picture")
    assert [path.name for path in pictures.files(tmp_path)] == ["b.PNG", "a.png"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"the folder `.*empty` has no picture in it"):
        pictures.files(tmp_path / "empty")


def test_without_pillow_the_command_that_brings_it_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "PIL", None)
    with pytest.raises(UserError, match="reading pictures needs the package `pillow`") as raised:
        pictures.read(tmp_path / "a.png", 8, 8)
    assert raised.value.code == 3 and "pip install 'unrolled[pictures]'" in raised.value.fix
