"""Reading text: every way in, every byte kept, and each fault named by file and place."""

import bz2
import codecs
import csv
import gzip
import io
import json
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


def rows(path, column="text", condition=None) -> list[text.Record]:
    return list(text.records([path], column, condition, "utf-8"))


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


# --- tables

COLUMNS = [("Ann, the first\nof hers", "en"), ('said "é🎉"', "fr"), ("tab\there", "de")]


def write_table(path):
    if ".jsonl" in path.name:
        data = "".join(json.dumps({"text": t, "lang": label}) + "\n" for t, label in COLUMNS)
    else:
        out = io.StringIO()
        table = csv.writer(out, delimiter="\t" if ".tsv" in path.name else ",", lineterminator="\n")
        table.writerows([("text", "lang"), *COLUMNS])
        data = out.getvalue()
    path.write_bytes(PACK.get(path.suffix, bytes)(data.encode()))


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.tsv", "a.jsonl.gz", "a.csv.xz", "a.tsv.bz2"])
@pytest.mark.parametrize("size", [3, 1 << 20])
def test_a_column_is_read_with_its_labels(tmp_path, monkeypatch, name, size):
    monkeypatch.setattr(text, "BLOCK", size)
    write_table(tmp_path / name)
    found = rows(tmp_path / name, condition="lang")
    assert [(record.text, record.label) for record in found] == COLUMNS


@pytest.mark.parametrize(("name", "line"), [("a.jsonl", 2), ("a.csv", 4)])
def test_a_record_knows_its_file_and_line(tmp_path, name, line):
    write_table(tmp_path / name)  # the second csv row ends in line 4: the first takes two lines, and the header one
    record = rows(tmp_path / name)[1]
    assert record.where == f"{tmp_path / name}:{line}"
    assert record.label is None


def test_a_column_that_is_not_text_is_read_as_json(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": 3.5}\n\n{"text": ["é"]}\n')
    assert [(record.text, record.where[-1]) for record in rows(tmp_path / "a.jsonl")] == [("3.5", "1"), ('["é"]', "3")]


@pytest.mark.parametrize(("line", "message"), [
    ('{"text": "cut', "not JSON: "), ("[1, 2]", "each line is a JSON object with named fields"), ("\0", "not JSON: "),
    ("[" * 100_000, "not JSON: "),  # deeper than Python recurses
])  # fmt: skip
def test_a_bad_json_row_is_named_by_file_and_line(tmp_path, line, message):
    (tmp_path / "a.jsonl").write_text('{"text": "fine"}\n\n' + line + "\n")
    with pytest.raises(UserError) as raised:
        rows(tmp_path / "a.jsonl")
    assert raised.value.what.startswith(message)
    assert raised.value.where == f"{tmp_path / 'a.jsonl'}:3"


def test_half_a_pair_of_surrogates_in_json_is_no_crash_later(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "a \\ud83d b"}\n')
    assert rows(tmp_path / "a.jsonl")[0].text.encode("utf-8") == "a \ufffd b".encode()


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv"])
def test_a_missing_column_is_named_with_the_nearest(tmp_path, name):
    write_table(tmp_path / name)
    with pytest.raises(UserError) as raised:
        rows(tmp_path / name, column="txt")
    assert raised.value.what == "no column `txt`; the row has text, lang"
    assert raised.value.where.startswith(f"{tmp_path / name}:")
    assert raised.value.fix == "did you mean `text`?"


def test_a_row_too_short_for_its_column_is_named_by_file_and_line(tmp_path):
    (tmp_path / "a.csv").write_text("lang,text\nen,fine\nfr\n")
    with pytest.raises(UserError, match=f"the column `text` is empty here\n  where: {tmp_path}/a.csv:3"):
        rows(tmp_path / "a.csv")


def test_a_file_that_is_no_table_is_refused(tmp_path):
    (tmp_path / "a.txt").write_text("text\nfine\n")
    with pytest.raises(UserError, match=r"`--column text` needs a table; `.*a.txt` is none of .jsonl, .csv, .tsv"):
        rows(tmp_path / "a.txt")


def test_a_table_with_a_byte_order_mark_has_its_first_column(tmp_path):
    (tmp_path / "a.csv").write_bytes(codecs.BOM_UTF8 + b"text,lang\r\nfine,en\r\n")
    assert rows(tmp_path / "a.csv", condition="lang")[0][:2] == ("fine", "en")


def test_a_bad_byte_in_a_table_is_named_by_offset(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"text\nfine\n\xff\n")
    with pytest.raises(UserError, match=f"byte 10 of `{tmp_path}/a.csv` is not utf-8: 0xff"):
        rows(tmp_path / "a.csv")


def test_a_row_that_csv_cannot_read_is_named_by_file_and_line(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"text\nfine\nold\rmac\n")
    with pytest.raises(UserError, match=f"^not a table: .*\n  where: {tmp_path}/a.csv:\\d"):
        rows(tmp_path / "a.csv")
