"""Pictures with captions: every form they come in, how pictures are found, and what is left out."""

import json

import numpy as np
import pytest
from PIL import Image

from unrolled.data import captioned
from unrolled.data.captioned import Columns, decode, find
from unrolled.errors import UserError


@pytest.fixture
def photos(tmp_path):
    """Three pictures in a folder."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for i, name in enumerate(("a.png", "b.png", "c.png")):
        Image.fromarray(np.full((20, 24, 3), 60 * i, np.uint8)).save(folder / name)
    return folder


def said(found):
    return {one.path.name: one.captions for one in found.pictures}


EXPECTED = {"a.png": ["a dog", "the dog"], "b.png": ["a cat"]}
SAID = [(7, "a dog"), (8, "a cat"), (7, "the dog")]
COCO = {
    "images": [{"id": 7, "file_name": "a.png"}, {"id": 8, "file_name": "b.png"}],
    "annotations": [{"image_id": number, "caption": caption} for number, caption in SAID],
}
KARPATHY = {
    "images": [
        {"filename": "a.png", "filepath": "photos", "split": "restval", "sentences": [{"raw": "a dog"}, {"raw": "the dog"}]},
        {"filename": "b.png", "filepath": "elsewhere", "split": "test", "sentences": [{"raw": "a cat"}]},
    ]
}
FORMS = {
    "a.tsv": "image\tcaption\na.png\ta dog\na.png\tthe dog\nb.png\ta cat\n",
    "a.csv": 'n,file_name,caption\n1,a.png,a dog\n2,a.png,"the dog"\n3,b.png,a cat\n',
    "nameless.csv": "a.png,a dog\na.png,the dog\nb.png,a cat\n",
    "lines": '{"picture": "a.png", "captions": ["a dog", "the dog"]}\n{"picture": "b.png", "captions": "a cat"}\n',
    "coco.json": json.dumps(COCO, indent=1),
    "karpathy.json": json.dumps(KARPATHY),
    "list.json": json.dumps(
        [{"file_path": "a.png", "captions": ["a dog", "the dog"]}, {"file_path": "b.png", "captions": ["a cat"]}]
    ),
    "Flickr8k.token.txt": "a.png#0\ta dog\na.png#1\tthe dog\nb.png#0\ta cat\n",
}
RECOGNISED = {
    "a.tsv": "TSV", "a.csv": "CSV", "nameless.csv": "CSV", "lines": "JSON lines", "coco.json": "COCO captions",
    "karpathy.json": "Karpathy's JSON", "list.json": "a JSON list", "Flickr8k.token.txt": "a token file as Flickr8k's",
}  # fmt: skip


@pytest.mark.parametrize("name", FORMS)
def test_every_form_is_recognised_by_its_content_and_said(name, photos, tmp_path):
    path = tmp_path / name
    path.write_text(FORMS[name])
    found = find([str(photos), str(path)], tmp_path)
    assert said(found) == EXPECTED and all(one.path.is_file() for one in found.pictures)
    assert f": {RECOGNISED[name]}, " in found.said[0]


def test_a_folder_with_captions_beside_its_pictures(photos, tmp_path):
    (photos / "a.txt").write_text("a dog\nthe dog\n\n")
    (photos / "b.txt").write_text("a cat")
    found = find([str(photos)], tmp_path)
    assert said(found) == EXPECTED and "captions beside them" in found.said[0]
    (tmp_path / "bare").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "bare" / "x.png")
    with pytest.raises(UserError, match=r"no picture in `.*bare` has captions beside it: of dog.jpg"):
        find([str(tmp_path / "bare")], tmp_path)


def test_pictures_are_looked_for_beside_the_table_and_in_a_folder_images(photos, tmp_path):
    photos.rename(tmp_path / "images")
    (tmp_path / "a.tsv").write_text(FORMS["a.tsv"])
    assert all(one.path.is_file() for one in find([str(tmp_path / "a.tsv")], tmp_path).pictures)


def test_a_split_is_honoured_and_one_that_is_unknown_refused(photos, tmp_path):
    table = tmp_path / "a.tsv"
    table.write_text("image\tsplit\tcaption\na.png\ttrain\tx\nb.png\tval\ty\nc.png\ttest\tz\n")
    assert [one.split for one in find([str(photos), str(table)], tmp_path).pictures] == ["train", "dev", "test"]
    table.write_text("image\tsplit\tcaption\na.png\ttrian\tx\n")
    with pytest.raises(UserError, match="`trian` is no part of the data; known are train") as raised:
        find([str(photos), str(table)], tmp_path)
    assert raised.value.where == f"{table}:2"
    table.write_text("image\tsplit\tcaption\na.png\ttrain\tx\na.png\tval\ty\n")
    with pytest.raises(UserError, match=r"`a.png` is in two parts of the data: train and dev"):
        find([str(photos), str(table)], tmp_path)


def test_blank_captions_and_those_said_twice_are_counted(photos, tmp_path):
    (tmp_path / "a.tsv").write_text("image\tcaption\na.png\ta  dog\na.png\ta dog\na.png\t \nb.png\tx\n")
    found = find([str(photos), str(tmp_path / "a.tsv")], tmp_path)
    assert said(found) == {"a.png": ["a dog"], "b.png": ["x"]}
    assert found.said[1:] == ["1 blank captions left out", "1 captions left out that stand twice for one picture"]


def test_columns_by_name_by_number_and_those_that_are_not_there(photos, tmp_path):
    table = tmp_path / "a.csv"
    table.write_text("one,two,three\na.png,hund,dog\n")
    for columns in (Columns("one", "three"), Columns("1", "3"), Columns(None, "three")):
        assert said(find([str(photos), str(table)], tmp_path, columns)) == {"a.png": ["dog"]}
    with pytest.raises(UserError, match="which column is the caption is not obvious; there are"):
        find([str(photos), str(table)], tmp_path)
    with pytest.raises(UserError, match="there is no column `thre` for the caption; there are one, two, three") as raised:
        find([str(photos), str(table)], tmp_path, Columns(None, "thre"))
    assert raised.value.fix == "did you mean `three`?"


@pytest.mark.parametrize(
    ("name", "text", "message", "where"),
    [
        ("a.csv", "image,caption\na.png,a dog, and more\n", "this row has 3 cells; the first has 2", ":2"),
        ("a.tsv", "image\tcaption\n\tno picture\n", "this row has no `image`; it has", ":2"),
        ("a.jsonl", '{"picture": "a.png", "caption": 3}\n', "a picture's name and its captions are text; here are", ":1"),
        (
            "a.jsonl",
            '{"picture": "a.png", "caption": "x", "regions": {"x": [0, 1, 2]}}\n',
            "regions are {phrase: [left, top, right, bottom]} in 0 to 1",
            ":1",
        ),
        ("a.json", '{"images": [{"id": 1}], "annotations": []}', "looks like captions in JSON, but has no 'file_name'", ""),
        ("a.txt", "a.png#0\ta dog\n" * 20 + "a cat\n", "this line is no `name.jpg#0`, a tab and a caption", ":21"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(name, text, message, where, photos, tmp_path):
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError) as raised:
        find([str(photos), str(tmp_path / name)], tmp_path)
    assert message in raised.value.what and raised.value.where == f"{tmp_path / name}{where}"


def test_a_table_without_rows_has_no_captions(photos, tmp_path):
    (tmp_path / "a.tsv").write_text("image\tcaption\n")
    with pytest.raises(UserError, match="there are no captions"):
        find([str(photos), str(tmp_path / "a.tsv")], tmp_path)


def test_what_cannot_be_used_is_counted_and_named(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(captioned.pictures, "MOST_PIXELS", 1000)
    Image.new("RGB", (40, 40)).save(photos / "large.png")
    (photos / "cut.png").write_bytes((photos / "b.png").read_bytes()[:60])
    Image.fromarray(np.full((20, 24, 3), 0, np.uint8)).save(photos / "again.png")  # as a.png
    rows = [("a", "x"), ("b", "y"), ("none", "z"), ("large", "x"), ("cut", "x"), ("again", "x"), ("c", " ")]
    (tmp_path / "a.tsv").write_text("image\tcaption\n" + "".join(f"{name}.png\t{text}\n" for name, text in rows))
    found = find([str(photos), str(tmp_path / "a.tsv")], tmp_path)
    album, kept, told = decode(found.pictures, 16, tmp_path / "pixels")
    assert [one.path.name for one in kept] == ["a.png", "b.png"] and album.captions == [["x"], ["y"]]
    assert told == [
        f"1 pictures left out without a caption ({tmp_path / 'a.tsv'}:8)",
        f"1 pictures left out that are too large ({photos / 'large.png'})",
        f"1 pictures left out whose file is not there ({photos / 'none.png'})",
        f"1 pictures left out with the same pixels as one before them ({photos / 'again.png'})",
        f"1 pictures left out that cannot be read as pictures ({photos / 'cut.png'})",
    ]
    with pytest.raises(UserError, match="none of the pictures can be used: 1 pictures left out that cannot"):
        decode([one for one in found.pictures if one.path.name == "cut.png"], 16, tmp_path / "none")


def test_an_album_comes_back_from_the_disk_as_it_was_kept(photos, tmp_path):
    row = {"picture": "a.png", "caption": "a dog", "regions": {"dog": [0, 0, 0.5, 1]}}
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row | {"picture": name}) + "\n" for name in ("a.png", "b.png", "c.png")))
    album, _, _ = decode(find([str(photos), str(tmp_path / "a.jsonl")], tmp_path).pictures, 16, tmp_path / "pixels")
    again = captioned.open_album(tmp_path / "kept", captioned.keep(tmp_path / "kept", album, [2, 0]))
    np.testing.assert_array_equal(again.taken(np.array([0, 1])), album.taken(np.array([2, 0])))
    assert (again.taken(np.array([0]))[0] == 120).all() and again.size == 16
    assert again.captions == [["a dog"]] * 2 and tuple(again.regions[0]["dog"]) == (0, 0, 0.5, 1)
    assert again.places == [f"{tmp_path / 'a.jsonl'}:3", f"{tmp_path / 'a.jsonl'}:1"]
    assert captioned.sizes(find([str(photos), str(tmp_path / "a.jsonl")], tmp_path).pictures) == 20


def test_pictures_to_answer_come_from_folders_tables_and_lists(photos, tmp_path):
    assert [path.name for _, path in captioned.paths(str(photos), tmp_path)] == ["a.png", "b.png", "c.png"]
    (tmp_path / "list.txt").write_text("photos/b.png\n\nphotos/a.png\n")
    found = list(captioned.paths(str(tmp_path / "list.txt"), tmp_path))
    assert found == [(f"{tmp_path / 'list.txt'}:1", photos / "b.png"), (f"{tmp_path / 'list.txt'}:3", photos / "a.png")]
    (tmp_path / "a.json").write_text(json.dumps([{"file_path": "photos/c.png", "captions": ["x"]}]))
    assert [path for _, path in captioned.paths(str(tmp_path / "a.json"), tmp_path)] == [photos / "c.png"]
