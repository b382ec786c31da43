"""Reading text: every way in, every byte kept, and each fault named by file and place."""

import bz2
import codecs
import gzip
import io
import lzma
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unrolled.data import text
from unrolled.errors import UserError

few = settings(max_examples=60, deadline=None)
PACK = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}
NO_SPOOL = None  # `find` touches it for standard input alone


def read(names, tmp_path, encoding="utf-8") -> str:
    return "".join(text.chunks(text.find([str(name) for name in names], tmp_path / "spool"), encoding))


class Piped:
    """Standard input with bytes piped into it, or none."""

    def __init__(self, data: bytes, terminal: bool = False):
        self.buffer, self.terminal = io.BytesIO(data), terminal

    def isatty(self) -> bool:
        return self.terminal


# --- what stands for a text


def test_several_files_are_read_in_the_order_given_with_a_line_end_between(tmp_path):
    (tmp_path / "b").write_text("first")
    (tmp_path / "a").write_text("second\n")
    (tmp_path / "c").write_text("third")
    assert read([tmp_path / name for name in "bac"], tmp_path) == "first\nsecond\nthird"


def test_a_folder_is_its_text_files_in_name_order_whatever_their_depth(tmp_path):
    folder = tmp_path / "notes"
    (folder / "sub" / ".git").mkdir(parents=True)
    for name, data in {
        "z.txt": b"last\n", "a.md": b"one\n", "sub/m.txt.gz": gzip.compress(b"packed\n"), "image": b"\x89PNG\0\0",
        ".hidden": b"no\n", "sub/.git/config": b"no\n", "late-zero": b"a" * 4095 + b"\0",
    }.items():  # fmt: skip
        (folder / name).write_bytes(data)
    assert read([folder], tmp_path) == "one\npacked\nlast\n"


def test_a_folder_without_text_is_named(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "image").write_bytes(b"\0\1\2")
    with pytest.raises(UserError, match=f"^the folder `{tmp_path}` has no text file in it"):
        text.find([str(tmp_path)], NO_SPOOL)


def test_standard_input_can_be_read_more_than_once(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stdin", Piped("piped é\n".encode()))
    files = text.find(["-"], tmp_path / "spool")
    assert [list(text.chunks(files, "utf-8")) for _ in range(2)] == [["piped é\n"]] * 2


def test_a_terminal_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(sys, "stdin", Piped(b"", terminal=True))
    with pytest.raises(UserError, match=r"`-` reads standard input, and nothing is piped into it\n.*cat notes/\*.md \| unrolled"):
        text.find(["-"], NO_SPOOL)


def test_a_missing_file_is_named_with_its_nearest_neighbour(tmp_path):
    (tmp_path / "book.txt").write_text("x")
    with pytest.raises(UserError, match=f"`{tmp_path}/bok.txt` does not exist\n.*did you mean `book.txt`"):
        text.find([str(tmp_path / "bok.txt")], NO_SPOOL)
    with pytest.raises(UserError, match=r"`nowhere/at/all` does not exist$"):
        text.find(["nowhere/at/all"], NO_SPOOL)


def test_no_names_are_no_data():
    with pytest.raises(UserError, match=r"no data was named\n.*name a file, a folder, or `-`"):
        text.find([], NO_SPOOL)


# --- bytes to characters


@pytest.mark.parametrize("suffix", PACK)
@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_a_packed_file_is_the_text_packed(tmp_path, monkeypatch, suffix, size):
    monkeypatch.setattr(text, "BLOCK", size)
    written = "The cat sat – on the 日本 mat 🎉.\n" * 20
    path = tmp_path / f"a.txt{suffix}"
    path.write_bytes(PACK[suffix](written.encode()))
    assert read([path], tmp_path) == written


@pytest.mark.parametrize("suffix", PACK)
@pytest.mark.parametrize("harm", ["cut", "flipped", "not packed at all"])
def test_a_damaged_archive_is_named(tmp_path, suffix, harm):
    whole = bytearray(PACK[suffix](bytes(range(256)) * 40))
    if harm == "cut":
        whole = whole[: len(whole) // 2]
    elif harm == "flipped":
        whole[len(whole) // 2] ^= 0xFF
    else:
        whole = b"plain text with the wrong name\n"
    path = tmp_path / f"a{suffix}"
    path.write_bytes(whole)
    with pytest.raises(UserError, match=f"^`{path}` is damaged: it does not unpack to its end\n  where: {path}") as raised:
        list(text.blocks(path))
    assert raised.value.code == 2


def test_an_archive_of_one_thing_again_and_again_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(text, "UNPACKED", 1 << 20)
    for suffix, size in ((".gz", 3 << 20), (".xz", 3 << 20)):
        path = tmp_path / f"a{suffix}"
        path.write_bytes(PACK[suffix](bytes(size)))
        with pytest.raises(UserError, match=f"`{path}` unpacks to over 200 times its size"):
            list(text.blocks(path))
    path = tmp_path / "a.txt"
    path.write_bytes(bytes(3 << 20))
    assert sum(map(len, text.blocks(path))) == 3 << 20


@few
@given(written=st.text(st.sampled_from("a\n é日🎉"), max_size=40), size=st.integers(1, 6), bom=st.booleans())
def test_a_character_across_a_border_of_blocks_is_whole(tmp_path_factory, written, size, bom):
    path = tmp_path_factory.mktemp("a") / "a.txt"
    path.write_bytes((codecs.BOM_UTF8 if bom else b"") + written.encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text, "BLOCK", size)
        assert "".join(text.characters(path, "utf-8")) == written


@few
@given(before=st.text(st.sampled_from("a\né日🎉"), max_size=20), size=st.integers(1, 8), bom=st.booleans(),
       bad=st.sampled_from([b"\xff", b"\xc0", b"\xe2\x28", b"\xed\xa0\x80"]))  # fmt: skip
def test_a_byte_that_is_not_utf8_is_named_by_file_and_offset(tmp_path_factory, before, size, bom, bad):
    path = tmp_path_factory.mktemp("a") / "a.txt"
    sound = (codecs.BOM_UTF8 if bom else b"") + before.encode()
    path.write_bytes(sound + bad + b" more")
    with pytest.MonkeyPatch.context() as patch, pytest.raises(UserError) as raised:
        patch.setattr(text, "BLOCK", size)
        list(text.characters(path, "utf-8"))
    assert raised.value.what.startswith(f"byte {len(sound)} of `{path}` is not utf-8: 0x{bad[0]:02x} (")
    assert raised.value.where == f"{path}: byte {len(sound)}"
    assert "name the file's own `--encoding`" in raised.value.fix


def test_a_text_cut_within_a_character_names_where_that_begins(tmp_path):
    (tmp_path / "a").write_bytes("né🎉".encode()[:-1])
    with pytest.raises(UserError, match=r"byte 3 of .*0xf0 .unexpected end of data."):
        read([tmp_path / "a"], tmp_path)


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "cp1252", "shift-jis"])
def test_another_encoding_is_read(tmp_path, encoding):
    written = "日本\n" if encoding == "shift-jis" else "naïve café\n"
    (tmp_path / "a").write_bytes(written.encode(encoding))
    assert read([tmp_path / "a"], tmp_path, encoding) == written


@pytest.mark.parametrize("encoding", ["utf9", "hex", "rot13"])
def test_what_is_no_encoding_of_text_is_refused(tmp_path, encoding):
    (tmp_path / "a").write_bytes(b"61")
    with pytest.raises(
        UserError,
        match=f"`--encoding` got `{encoding}`, which Python does not know as an encoding of text\n.*try utf-8 or latin-1",
    ):
        read([tmp_path / "a"], tmp_path, encoding)


# --- chunks


@few
@given(st.lists(st.text(st.sampled_from("ab \né🎉"), max_size=60), min_size=1, max_size=4), st.integers(1, 16))
def test_chunks_lose_nothing_whatever_the_size_of_a_block(tmp_path_factory, parts, size):
    folder = tmp_path_factory.mktemp("a")
    for i, part in enumerate(parts):
        (folder / str(i)).write_text(part, newline="")
    wanted = ""
    for part in parts:  # a file without a last line end gets one before the next file starts
        wanted += ("\n" if wanted and not wanted.endswith("\n") else "") + part
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text, "BLOCK", size)
        found = "".join(text.chunks([folder / str(i) for i in range(len(parts))], "utf-8"))
    assert found == wanted


def test_chunks_are_cut_after_a_line_end_or_a_blank_and_never_within_a_word(tmp_path, monkeypatch):
    monkeypatch.setattr(text, "BLOCK", 16)
    words = [f"word{i}" for i in range(200)]
    for blank in "\n ":
        (tmp_path / "a").write_text(blank.join(words))
        cut = list(text.chunks([tmp_path / "a"], "utf-8"))
        assert len(cut) > 10
        assert [word for chunk in cut for word in chunk.split()] == words


def test_a_text_without_any_blank_is_still_cut(tmp_path, monkeypatch):
    monkeypatch.setattr(text, "BLOCK", 16)
    (tmp_path / "a").write_text("x" * 10_000)
    cut = list(text.chunks([tmp_path / "a"], "utf-8"))
    assert max(map(len, cut)) <= 10 * 16
    assert sum(map(len, cut)) == 10_000


# --- lines


@few
@given(st.text(st.sampled_from("ab\n\r\u2028\x0cé"), max_size=40), st.integers(1, 8))
def test_lines_end_in_line_feeds_alone_whatever_the_size_of_a_block(tmp_path_factory, written, size):
    path = tmp_path_factory.mktemp("a") / "a.txt"
    path.write_text(written, newline="")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text, "BLOCK", size)
        found = list(text.lines(path, "utf-8"))
    *whole, rest = written.split("\n")
    assert found == [line + "\n" for line in whole] + [rest] * (rest != "")
