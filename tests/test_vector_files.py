"""Files of word vectors: every kind read as it was written, by others too; damage named by its line or byte."""

import bz2
import gzip
import json
import lzma
import re
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from unrolled import UserError, Vectors, vector_convert, vector_files
from unrolled.kernels import decimals
from unrolled.vector_convert import Convert, convert

few = settings(max_examples=60, deadline=None)
SINGLE = st.floats(width=32, allow_nan=False, allow_infinity=False)
WORDS = ["the", "of", "naïve", "日本", "königin🎉"]
ROWS = np.random.default_rng(0).standard_normal((5, 7)).astype(np.float32)
ROWS[1] = [0, -0.0, 1e-38, 3e38, 1.1754944e-38, -123456.79, 0.1]
NAMES = ["words.txt", "words.vec", "words.bin", "words.glove", "words.npy"]


def same(found: Vectors, words=WORDS, rows=ROWS) -> bool:
    return list(found.words) == list(words) and found.matrix.tobytes() == np.asarray(rows).tobytes()


def text(rows=ROWS, words=WORDS, head: bool = True) -> str:
    lines = [f"{len(words)} {rows.shape[1]}"] * head + [
        " ".join([word, *map(repr, row.tolist())]) for word, row in zip(words, rows, strict=True)
    ]
    return "\n".join(lines) + "\n"


def binary(rows=ROWS, words=WORDS, after: bytes = b"\n") -> bytes:
    """As word2vec.c writes it; gensim leaves the line ends out."""
    pairs = zip(words, rows, strict=True)
    return f"{len(words)} {rows.shape[1]}\n".encode() + b"".join(
        word.encode() + b" " + struct.pack(f"<{len(row)}f", *row) + after for word, row in pairs
    )


# --- round trips


@pytest.mark.parametrize("name", NAMES)
def test_what_is_written_is_read_back_bit_for_bit(tmp_path, name):
    Vectors(WORDS, ROWS).save(tmp_path / name)
    assert same(Vectors.open(tmp_path / name))
    left = {"words.npy", "words.words.txt"} if name == "words.npy" else {name}
    assert {path.name for path in tmp_path.iterdir()} == left


@few
@given(
    words=st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters=" \t\n\r\v\f"), min_size=1), min_size=1, max_size=6, unique=True
    ),
    size=st.integers(1, 5),
    data=st.data(),
    name=st.sampled_from(NAMES),
)
def test_any_words_and_numbers_come_back(tmp_path_factory, words, size, data, name):
    rows = np.array(data.draw(st.lists(st.lists(SINGLE, min_size=size, max_size=size), min_size=len(words), max_size=len(words))))
    path = tmp_path_factory.mktemp("any") / name
    Vectors(words, rows).save(path)
    if not looks_otherwise(path):
        assert same(Vectors.open(path), words, rows.astype(np.float32))


def looks_otherwise(path: Path) -> bool:
    """Whether what drew the words hit on one of the few files that look like another kind."""
    data = path.read_bytes()
    if path.suffix in (".txt", ".vec"):
        return re.search(rb"[\0-\x08\x0e-\x1f]", data) is not None
    if path.suffix == ".bin":
        return re.search(rb"[\0-\x08\x0e-\x1f]", data) is None
    return path.suffix == ".glove" and (b"\0" in data or re.match(rb"\d+ \d+\n", data) is not None)


def test_the_formats_are_those_of_gensim(tmp_path):
    models = pytest.importorskip("gensim.models")
    theirs = models.KeyedVectors(7)
    theirs.add_vectors(WORDS, ROWS)
    for is_binary, name in [(True, "words.bin"), (False, "words.txt")]:
        theirs.save_word2vec_format(str(tmp_path / f"theirs-{name}"), binary=is_binary)
        assert same(Vectors.open(tmp_path / f"theirs-{name}"))
        Vectors(WORDS, ROWS).save(tmp_path / name)
        read = models.KeyedVectors.load_word2vec_format(str(tmp_path / name), binary=is_binary)
        assert read.index_to_key == WORDS and read.vectors.tobytes() == ROWS.tobytes()
    Vectors(WORDS, ROWS).save(tmp_path / "words.glove")
    assert (tmp_path / "words.glove").read_text() == (tmp_path / "words.txt").read_text().partition("\n")[2]


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress], ids=["gzip", "bzip2", "xz"])
@pytest.mark.parametrize("data", [text().encode(), text(head=False).encode(), binary()], ids=["text", "glove", "binary"])
def test_what_a_file_is_its_bytes_say(tmp_path, pack, data):
    (tmp_path / "any-name").write_bytes(data)
    (tmp_path / "packed").write_bytes(pack(data))
    assert same(Vectors.open(tmp_path / "any-name")) and same(Vectors.open(str(tmp_path / "packed")))


@pytest.mark.parametrize("block", [7, 64, 1 << 22])
@pytest.mark.parametrize("by_python", [0, 1 << 24], ids=["compiled", "by Python"])
def test_files_are_read_the_same_in_any_pieces(tmp_path, monkeypatch, block, by_python):
    monkeypatch.setattr(vector_files, "BLOCK", block)
    monkeypatch.setattr(vector_files, "BY_PYTHON", by_python)
    odd = (
        text().replace("\n", " \r\n").replace("of ", "of\t ").replace(" 0.0", "  0.0", 1)
    )  # blanks as C programs and Windows leave them
    for data in (text().encode(), text(head=False).encode(), odd.encode(), text().strip().encode(), binary(), binary(after=b"")):
        (tmp_path / "file").write_bytes(data)
        assert same(Vectors.open(tmp_path / "file"))


def test_words_of_glove_may_hold_blanks(tmp_path):
    words = [". . .", "at name@domain.com", "the", "1", "2000"]
    (tmp_path / "glove").write_text(text(words=words, head=False))
    assert same(Vectors.open(tmp_path / "glove"), words)


def test_a_number_for_a_word_and_one_dimension_are_no_first_line(tmp_path):
    (tmp_path / "one").write_text("5 0.5\n7 2\n")
    found = Vectors.open(tmp_path / "one")
    assert found.words == ["5", "7"] and found.matrix.tolist() == [[0.5], [2.0]]


# --- numbers


WRITTEN = st.builds(lambda x, how: how % x, SINGLE, st.sampled_from(["%.9g", "%.6f", "%e", "%.3E"]))
ODD = st.sampled_from(["0", "-0", "-0.0", "+.5", "3.", "1e22", "1E-22", "00012", "9007199254740992", "9007199254740993e-15"])


@few
@given(st.lists(st.one_of(WRITTEN, st.decimals(-1000, 1000, places=5).map(str), ODD), min_size=1, max_size=6))
def test_compiled_numbers_are_pythons_bit_for_bit(numbers):
    line = ("word " + " ".join(numbers)).encode()
    rows = np.empty((1, len(numbers)), np.float32)
    after = decimals.read(line, np.array([len(line)]), rows)
    wanted = np.array([np.float32(float(number)) for number in numbers])
    exact = all(sum(c.isdigit() for c in re.split("[eE]", n)[0].lstrip("+-0.")) <= 15 and abs(_power(n)) <= 22 for n in numbers)
    assert after[0] == 4 or not exact  # all that two exact float64 can say is read here
    assert after[0] in (0, 4) and (not after[0] or rows[0].tobytes() == wanted.tobytes())


def _power(number: str) -> int:
    whole, _, power = number.lower().partition("e")
    return int(power or 0) - len(whole.partition(".")[2])


@pytest.mark.parametrize(
    "line",
    ["", "w", "w ", "w 1", "w 1 2 3", "w 1 x", "w 1 .", "w 1 1e", "w 1 1e+", "w 1 -", "w 1 1.2.3", "w 1 nan", "w 1 1_0", " 1 2"],
)
def test_lines_that_are_not_a_word_and_plain_numbers_are_left_to_python(line):
    data = line.encode()
    assert decimals.read(data, np.array([len(data)]), np.empty((1, 2), np.float32))[0] == 0


def test_a_long_text_is_dealt_out_to_threads():
    rows = np.random.default_rng(0).standard_normal((60_000, 8)).astype(np.float32)
    lines = "".join(f"w{i} " + " ".join(f"{x:.9g}" for x in row) + "\n" for i, row in enumerate(rows.tolist())).encode()
    assert len(lines) > decimals.ALONE
    ends, found = np.flatnonzero(np.frombuffer(lines, np.uint8) == 10), np.empty_like(rows)
    after = decimals.read(lines, ends, found)
    assert found.tobytes() == rows.tobytes()
    begins = np.append(0, ends[:-1] + 1)
    assert [lines[a:b] for a, b in zip(begins, after, strict=True)] == [b"w%d" % i for i in range(60_000)]


# --- .npy


def test_npy_is_mapped_not_read(tmp_path):
    Vectors(WORDS, ROWS).save(tmp_path / "words.npy")
    found = Vectors.open(tmp_path / "words.npy")
    assert isinstance(found.matrix.base, np.memmap) and not found.matrix.flags.writeable
    np.testing.assert_array_equal(np.load(tmp_path / "words.npy"), ROWS)


def test_npy_keeps_float16(tmp_path):
    rows = ROWS[:, 6:].repeat(20, 1)
    Vectors(WORDS, rows).half().save(tmp_path / "half.npy")
    found = Vectors.open(tmp_path / "half.npy")
    assert same(found, rows=rows.astype(np.float16))
    assert [n.word for n in found.nearest("of")] == [n.word for n in Vectors(WORDS, rows.astype(np.float16)).nearest("of")]
    convert(tmp_path / "half.npy", tmp_path / "half.txt", Convert())
    assert same(Vectors.open(tmp_path / "half.txt"), rows=rows.astype(np.float16).astype(np.float32))


def test_words_of_npy_may_be_in_a_plain_txt(tmp_path):
    np.save(tmp_path / "mine.npy", ROWS.astype(float))
    (tmp_path / "mine.txt").write_text("\r\n".join(WORDS))
    assert same(Vectors.open(tmp_path / "mine.npy"))


@pytest.mark.parametrize(
    ("array", "words", "message"),
    [
        (ROWS, None, "has its words in `v.words.txt`, one a line, and it is not there"),
        (ROWS, b"a\nb\n", "has 2 words, .* 5 rows"),
        (ROWS, b"a\nb\n\xff\n", "byte 4 of `.*v.words.txt` is not UTF-8"),
        (ROWS[0], b"a\n", r"holds float32 of shape \(7,\); a row of numbers for each word is needed"),
        (np.array([["x"]]), b"a\n", "a row of numbers for each word is needed"),
        (np.array([[None]]), b"a\n", "is damaged: .*object"),
    ],
)
def test_npy_that_does_not_fit_is_refused(tmp_path, array, words, message):
    np.save(tmp_path / "v.npy", array)
    if words is not None:
        (tmp_path / "v.words.txt").write_bytes(words)
    with pytest.raises(UserError, match=message):
        Vectors.open(tmp_path / "v.npy")


@pytest.mark.parametrize("kept", [7, 40, 130, 200])
def test_npy_cut_off_is_damaged(tmp_path, kept):
    Vectors(WORDS, ROWS).save(tmp_path / "v.npy")
    (tmp_path / "v.npy").write_bytes((tmp_path / "v.npy").read_bytes()[:kept])
    with pytest.raises(UserError, match=r"v\.npy` is damaged: "):
        Vectors.open(tmp_path / "v.npy")


def test_a_header_that_claims_gigabytes_takes_none(tmp_path):
    (tmp_path / "v.npy").write_bytes(b"\x93NUMPY\2\0\xff\xff\xff\xff" + b"{" * 5000)
    with pytest.raises(UserError, match=r"v\.npy` is damaged: its header claims 4,294,967,295 bytes"):
        vector_files.read(tmp_path / "v.npy")


# --- damage


DAMAGED = [
    (b"", "` is empty", ""),
    (b" \n\n", "` is empty", ""),
    (b"0 5\n", "says 0 words and 5 dimensions; both are at least 1", ":1"),
    (b"5 0\n", "says 5 words and 0 dimensions", ":1"),
    (b"2 3", "is cut off after 0 words; its first line says 2", ":1"),
    (b"2 3\na 1 2 3\n", "is cut off after 1 words; its first line says 2", ":2"),
    (b"2 3\na 1 2 3\nb 1 2", "numbers after the word: 2; expected: 3; the file is cut off here", ":3"),
    (b"1 3\na 1 2 3\nb 1 2 3\n", "goes on after 2 words; its first line says 1", ":3"),
    (b"2 3\na 1 2 3\nb 1 2\n", "numbers after the word: 2; expected: 3\n", ":3"),
    (b"2 3\na 1 2 3\nb 1 2 3 4\n", "numbers after the word: 4; expected: 3\n", ":3"),
    (b"a 1 2 3\nb 1 2 3 4\nc 1 2 3\n", "numbers after the word: 4; expected: 3\n", ":2"),
    (b"a 1 2 3\n\nb 1 2\nc 1 2 3\n", "numbers after the word: 2; expected: 3\n", ":3"),
    (b"2 3\na 1 2 3\nb 1 2,5 3\n", "`2,5` is not a number: dimension 2 of 3", ":3"),
    (b"2 3\na 1 2 3\nb 1 nan 3\n", "the vector of `b` holds nan or infinity", ":3"),
    (b"2 3\na 1 2 3\nb 1 1e39 3\n", "the vector of `b` holds nan or infinity", ":3"),
    (b"3 3\na 1 2 3\nb 1 2 3\na 1 2 3\n", "the word `a` stands twice: here and in line 2", ":4"),
    (b"2 3\na 1 2 3\nb\xe9 1 2 3\n", r"the word `b\\xe9` is not UTF-8", ":3"),
    (b"2 99999999\na 1 2 3\n", "has lines too short for the 99,999,999 dimensions of its first line", ":1"),
    (b"some text, no vectors\nand more of it\n", "is not a file of word vectors", ""),
    (bytes(range(256)) * 9, "is not a file of word vectors", ""),
    (b"PK\x03\x04rest", "is a zip archive", ""),
    (b"\x80\x04\x95rest", "is a pickle, which can run any code; unrolled opens none", ""),
    (b"\xba\x16\x4f\x2frest", "is a model of fastText", ""),
    (gzip.compress(b"\x93NUMPY"), "is a packed .npy, which cannot be mapped", ""),
    (gzip.compress(text().encode())[:60], "is damaged: it does not unpack to its end", ""),
    (binary()[:90], r"is cut off after 2 of 5 words", ": byte 90"),
    (binary()[:12], r"is cut off after 0 of 5 words", ": byte 12"),
    (binary()[:7], "numbers after the word: 0; expected: 7; the file is cut off here", ":2"),  # no number shows that it is binary
    (binary() + b"more", "goes on after 5 words, all that its first line says", f": byte {len(binary()) - 1}"),
    (binary(words=["a", "b", "a", "c", "d"]), "the word `a` stands twice: here and in byte 4", ": byte 65"),
    (binary().replace("naïve".encode(), b"na\xefve"), r"the word `na\\xefve` is not UTF-8", ": byte 68"),
    (binary(rows=np.add(ROWS, [[0], [0], [np.nan], [0], [0]])), "the vector of `naïve` holds nan or infinity", ": byte 68"),
    (binary(words=["the", "", "x", "y", "z"]), "there is no word before the numbers", ": byte 36"),
    (b"2 3\n" + bytes(100_000), "is damaged: no word is found after 0 of 2 words", ": byte 4"),
]  # fmt: skip


@pytest.mark.parametrize(("data", "message", "where"), DAMAGED, ids=[str(i) for i in range(len(DAMAGED))])
@pytest.mark.parametrize("by_python", [0, 1 << 24], ids=["compiled", "by Python"])
def test_damage_is_named_with_its_place(tmp_path, monkeypatch, data, message, where, by_python):
    monkeypatch.setattr(vector_files, "BY_PYTHON", by_python)
    path = tmp_path / "damaged"
    path.write_bytes(data)
    with pytest.raises(UserError, match=message) as caught:
        Vectors.open(path)
    assert caught.value.where == f"{path}{where}"


@pytest.mark.parametrize("data", [text().encode(), binary()], ids=["text", "binary"])
def test_a_file_cut_off_before_its_last_number_is_refused(tmp_path, data):
    path = tmp_path / "cut"
    for length in range(1, len(data) - 21, 5):
        path.write_bytes(data[:length])
        with pytest.raises(UserError):
            Vectors.open(path)


def test_a_file_that_is_not_there_has_its_neighbours_named(tmp_path):
    (tmp_path / "words.txt").write_text(text())
    with pytest.raises(UserError, match="does not exist") as caught:
        Vectors.open(tmp_path / "word.txt")
    assert caught.value.fix == "did you mean `words.txt`?"


# --- writing


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("source", ["text", "glove", "binary", "npy"])
def test_every_kind_becomes_every_other(tmp_path, source, name):
    start = tmp_path / ("start.npy" if source == "npy" else "start")
    Vectors(WORDS, ROWS).save(start, source)
    written = convert(start, tmp_path / name, Convert())
    assert written == (str(tmp_path / name), 5, 7, 0)
    assert same(Vectors.open(tmp_path / name))
    Vectors(WORDS, ROWS).save(tmp_path / f"direct-{name}")
    if source != "glove":  # which does not say how many words it has, so that blanks stand before their number
        assert (tmp_path / name).read_bytes() == (tmp_path / f"direct-{name}").read_bytes()


def test_a_format_may_be_named_and_half_halves(tmp_path):
    (tmp_path / "start").write_text(text())
    convert(tmp_path / "start", tmp_path / "out", Convert(format="binary"))
    assert (tmp_path / "out").read_bytes() == binary()
    (tmp_path / "tame").write_text(text(rows=ROWS[2:], words=WORDS[2:]))
    convert(tmp_path / "tame", tmp_path / "half.npy", Convert(half=True))
    assert same(Vectors.open(tmp_path / "half.npy"), WORDS[2:], ROWS[2:].astype(np.float16))
    with pytest.raises(UserError, match="the vector of `of` has numbers above 65,504"):
        convert(tmp_path / "start", tmp_path / "large.npy", Convert(half=True))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["half.npy", "half.words.txt", "out", "start", "tame"]


@pytest.mark.parametrize(
    ("out", "options", "message", "fix"),
    [
        ("taken.txt", {}, "taken.txt` is already there", "name another file, or remove that one first"),
        ("v.npy", {}, "v.words.txt` is already there", "name another file, or remove that one first"),
        ("v.bim", {}, "the suffix of `.*v.bim` says no format; known are .txt .vec .bin", "did you mean `.bin`?"),
        ("v", {}, "the suffix of `.*v` says no format", "name the format with --format"),
        ("v.txt", {"half": True}, "`--half` writes .npy, and `.*v.txt` is text", "name the file v.npy"),
        ("v.txt", {"format": "npy"}, "`--format npy` needs a name that ends with .npy", None),
        ("v.txt", {"format": "nyp"}, "`format` got `nyp`; allowed are text, binary, glove, npy", "did you mean `npy`?"),
        ("no/folder/v.txt", {}, "cannot go on writing `.*v.txt`: no such file or directory", None),
    ],
)
def test_what_cannot_be_written_is_refused_and_leaves_nothing(tmp_path, out, options, message, fix):
    for name in ("taken.txt", "v.words.txt", "start"):
        (tmp_path / name).write_text(text())
    with pytest.raises(UserError, match=message) as caught:
        convert(tmp_path / "start", tmp_path / out, Convert(**options))
    assert fix is None or caught.value.fix == fix
    assert sorted(path.name for path in tmp_path.iterdir()) == ["start", "taken.txt", "v.words.txt"]


@pytest.mark.parametrize("name", NAMES)
def test_a_source_that_breaks_off_leaves_nothing(tmp_path, name):
    (tmp_path / "start").write_text(text()[:-30])
    with pytest.raises(UserError, match="numbers after the word"):
        convert(tmp_path / "start", tmp_path / name, Convert())
    assert [path.name for path in tmp_path.iterdir()] == ["start"]


def test_mend_leaves_out_what_cannot_be_used_and_says_so(tmp_path):
    lines = ["9 3", "a 1 2 3", "b 1 2", "c 1 x 3", "d 1 nan 3", "a 4 5 6", "f 1 2 3 4", "e 7 8 9"]
    (tmp_path / "start").write_bytes("\n".join(lines).encode() + b"\nn\xe9 1 2 3\n")
    said = []
    for name in NAMES:
        written = convert(tmp_path / "start", tmp_path / name, Convert(mend=True), said.append)
        assert written[1:] == (2, 3, 7)
        assert same(Vectors.open(tmp_path / name), ["a", "e"], np.array([[1, 2, 3], [7, 8, 9]], np.float32))
    assert len(said) == 35
    assert said[0] == f"left out: numbers after the word: 2; expected: 3 ({tmp_path / 'start'}:3)"
    assert [re.search(r":(\d+)\)", line)[1] for line in said[:7]] == ["3", "4", "7", "5", "6", "9", "9"]


def test_mend_keeps_the_whole_rows_of_a_binary_file_cut_off(tmp_path):
    (tmp_path / "start").write_bytes(binary()[:-40])
    assert convert(tmp_path / "start", tmp_path / "v.txt", Convert(mend=True)).words == 4
    assert same(Vectors.open(tmp_path / "v.txt"), WORDS[:4], ROWS[:4])


def test_mend_looks_at_arrays_too(tmp_path, monkeypatch):
    monkeypatch.setattr(vector_convert, "ROWS", 2)
    rows = ROWS.copy()
    rows[3, 2] = np.inf
    np.save(tmp_path / "v.npy", rows)
    (tmp_path / "v.txt").write_text("a\nb\nc\nd\na\n")
    for message, where in (("the vector of `d` holds nan or infinity", "row 3 of "), ("the word `a` stands twice", "row 4 of ")):
        with pytest.raises(UserError, match=message) as caught:
            convert(tmp_path / "v.npy", tmp_path / "out.bin", Convert())
        assert caught.value.where == f"{where}{tmp_path / 'v.npy'}"
        rows[3, 2] = 1
        np.save(tmp_path / "v.npy", rows)
    assert convert(tmp_path / "v.npy", tmp_path / "out.bin", Convert(mend=True))[1:] == (4, 7, 1)


def test_many_rows_left_out_are_counted_and_a_file_of_none_is_not_written(tmp_path):
    (tmp_path / "start").write_text("1 2\nfine 1 2\n" + "bad 1\n" * 30)
    said = []
    assert convert(tmp_path / "start", tmp_path / "v.bin", Convert(mend=True), said.append)[1:] == (1, 2, 31)
    assert len(said) == 11 and said[-1] == "left out: 21 more"
    (tmp_path / "none").write_text("2 2\nbad 1\nbad 1\n")
    with pytest.raises(UserError, match="no row is left to write: none of them can be used"):
        convert(tmp_path / "none", tmp_path / "w.txt", Convert(mend=True))
    assert not (tmp_path / "w.txt").exists()


@pytest.mark.parametrize("word", ["new york", "a\tb", "", "line\nend"])
def test_words_that_a_format_cannot_hold_are_refused(tmp_path, word):
    v = Vectors(["a", word], np.ones((2, 2)))
    for name in ("v.txt", "v.bin", "v.glove"):
        with pytest.raises(UserError, match=r"the word '.*' has a blank in it, where these files end a word"):
            v.save(tmp_path / name)
    if "\n" in word or not word:
        with pytest.raises(UserError, match=r"the word '.*' is no line of a list of words"):
            v.save(tmp_path / "v.npy")
    else:
        v.save(tmp_path / "v.npy")
        assert Vectors.open(tmp_path / "v.npy").words == ["a", word]


# --- runs


def make_run(folder: Path, **tensors) -> Path:
    """A run folder of `embed` as documented, written with the library of safetensors."""
    step = folder / "steps" / "12"
    step.mkdir(parents=True)
    tensors = {"vectors": ROWS, "counts": np.array([9, 7, 5, 3, 1]), **tensors}
    save_file(tensors, step / "model.safetensors", metadata={"some": "thing"})
    size = (step / "model.safetensors").stat().st_size
    (step / "manifest.json").write_text(json.dumps({"files": {"model.safetensors": {"size": size}}}))
    (folder / "best").write_text("12 " + "0" * 64 + "\n")
    (folder / "codec.json").write_text(json.dumps({"kind": "words", "symbols": WORDS}))
    (folder / "config.json").write_text(json.dumps({"task": "embed", "config": {"shortest": 2, "longest": 3}}))
    return folder


def test_a_run_is_mapped_with_all_it_holds(tmp_path):
    found = Vectors.open(make_run(tmp_path / "run"))
    assert same(found) and found.counts.tolist() == [9, 7, 5, 3, 1]
    assert isinstance(found.matrix.base, np.memmap) and found.context is None and found.subwords is None
    rows = np.arange(70, dtype=np.float32).reshape(10, 7)
    found = Vectors.open(make_run(tmp_path / "more", context=-ROWS, ngrams=rows))
    np.testing.assert_array_equal(found.context, -ROWS)
    assert found.subwords[1:] == (2, 3) and found["unseen"].shape == (7,) and "unseen" not in found
    convert(tmp_path / "run", tmp_path / "out.bin", Convert())
    assert (tmp_path / "out.bin").read_bytes() == binary()


def cut(path: Path, most: int) -> None:
    path.write_bytes(path.read_bytes()[:most])


def header(path: Path, **changed) -> None:
    """Write over the entry of `vectors` in a safetensors header, in as many bytes."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    about = json.loads(data[8 : 8 + length])
    about["vectors"] |= changed
    path.write_bytes(data[:8] + json.dumps(about, separators=(",", ":")).encode().ljust(length) + data[8 + length :])


WEIGHTS, MANIFEST = "steps/12/model.safetensors", "steps/12/manifest.json"
BROKEN = [
    (lambda run: shutil.rmtree(run / "steps"), "manifest.json` is missing: the run is damaged"),
    (lambda run: (run / "best").unlink(), "has no saved step"),
    (lambda run: (run / "best").write_text("x"), "best` is damaged: it names no step"),
    (lambda run: (run / "config.json").unlink(), "is not a run folder: it has no config.json"),
    (
        lambda run: (run / "config.json").write_text('{"task": "language"}'),
        "is a run of `language`; vectors are in runs of `embed`",
    ),
    (lambda run: (run / "config.json").write_text("[]"), "is a run of `None`"),
    (lambda run: (run / "config.json").write_text("{"), "config.json` is damaged"),
    (lambda run: (run / "codec.json").unlink(), "codec.json` is missing: the run is damaged"),
    (lambda run: (run / "codec.json").write_text("{}"), "is damaged: it has no words, or no vectors"),
    (lambda run: (run / "codec.json").write_text('{"symbols": ["a"]}'), "is damaged: 1 words, 5 vectors"),
    (lambda run: (run / MANIFEST).write_text("{}"), "manifest.json` is damaged: it lists no files"),
    (lambda run: cut(run / WEIGHTS, 300), "model.safetensors` is damaged: it is not what its manifest says"),
    (lambda run: cut(run / WEIGHTS, 0), "model.safetensors` is damaged"),
    (lambda run: (run / WEIGHTS).unlink(), "cannot go on reading `.*model.safetensors`: no such file"),
    (lambda run: header(run / WEIGHTS, dtype="F8"), "model.safetensors` is damaged"),
    (lambda run: header(run / WEIGHTS, shape=[9, 7]), "model.safetensors` is damaged"),
    (lambda run: header(run / WEIGHTS, data_offsets=[0, 9]), "model.safetensors` is damaged"),
]


@pytest.mark.parametrize(("damage", "message"), BROKEN, ids=[str(i) for i in range(len(BROKEN))])
def test_a_damaged_run_is_refused(tmp_path, damage, message):
    run = make_run(tmp_path / "run")
    damage(run)
    with pytest.raises(UserError, match=message):
        Vectors.open(run)
