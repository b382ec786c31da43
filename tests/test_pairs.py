"""Sentence pairs: files and tables read back as written, columns found out, faults named by place, odd pairs left out."""

import bz2
import gzip
import io
import json
import random
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unrolled.data import pairs
from unrolled.data.pairs import Fault, Pair, Parallel
from unrolled.errors import UserError

few = settings(max_examples=60, deadline=None)
NO_SPOOL = None  # `find` touches it for standard input alone
PACK = {".gz": gzip.compress, ".bz2": bz2.compress}
SAID = [
    ("Go.", "Geh."),
    ('They said "no".', "Sie sagten „nein“."),
    ("né 日 🎉", "x"),
    ("a\u2028b\x0bc\x85d", "two\rlines"),
    ("so", "so"),
]


@pytest.fixture
def write(tmp_path):
    def write(name, data):
        path = tmp_path / name
        data = data.encode() if isinstance(data, str) else data
        path.write_bytes(PACK.get(path.suffix, bytes)(data))
        return str(path)

    return write


def two_files(write, said=SAID, end="\n", ends=(".en", ".de")):
    return [write(f"a{name}", "".join(pair[i] + end for pair in said)) for i, name in enumerate(ends)]


def read(*names, **rest) -> list[tuple[str, str]]:
    return [pair[:2] for pair in pairs.pairs(pairs.find(names, NO_SPOOL, **rest))]


def fault(*names, **rest) -> UserError:
    """What is said of pairs, found and then read."""
    with pytest.raises(UserError) as raised:
        read(*names, **rest)
    return raised.value


# --- lines


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_two_files_are_read_line_by_line_and_only_a_line_feed_ends_one(write, end):
    source, target = two_files(write, end=end)
    found = pairs.find([source, target], NO_SPOOL)
    read = list(pairs.pairs(found))
    assert [pair[:2] for pair in read] == SAID
    assert [pair.where for pair in read] == [f"{source}:{i}" for i in range(1, 6)]
    assert (found.source, found.target) == (None, None)
    assert found.said == f"each line is a sentence, with its translation on that line of the other file: {source} and {target}"


line = st.text(st.sampled_from("ab .é\u2028\x0c🎉\t"), max_size=8)


@few
@given(said=st.lists(st.tuples(line, line), min_size=1, max_size=20), ended=st.booleans())
def test_any_lines_come_back_as_they_were_written(tmp_path_factory, said, ended):
    folder = tmp_path_factory.mktemp("lines")
    names = []
    for i in (0, 1):
        text = "\n".join(pair[i] for pair in said) + "\n" * (ended or not said[-1][i])
        (folder / f"{i}.txt").write_bytes(text.encode())
        names.append(folder / f"{i}.txt")
    found = Parallel(names, None, None, False, "utf-8", None)
    assert [pair[:2] for pair in pairs.pairs(found)] == said


def test_a_mark_of_byte_order_is_no_text_and_other_encodings_are_named(write):
    source, target = write("a.en", b"\xef\xbb\xbfGo.\n"), write("a.de", "Geh.\n")
    assert read(source, target) == [("Go.", "Geh.")]
    wide = [write(f"b.{side}", text.encode("utf-16")) for side, text in (("en", "Go.\n"), ("de", "Geh.\n"))]
    assert read(*wide, encoding="utf-16") == [("Go.", "Geh.")]
    latin = write("l.de", "Grüße\n".encode("latin-1"))
    assert "is not utf-8: 0xfc" in fault(source, latin).what


def test_packed_files_and_a_folder_of_two_are_read(write, tmp_path):
    packed = two_files(write, ends=(".en.gz", ".xx.bz2"))
    assert read(*packed) == SAID
    assert read(str(tmp_path)) == SAID
    write("b.fr", "x\n")
    told = fault(str(tmp_path))
    assert told.what == f"which files of the folder `{tmp_path}` belong together is not obvious: a.en.gz, a.xx.bz2, b.fr"


def test_more_files_are_read_two_and_two(write):
    names = [*two_files(write), write("b.en", "Hi.\n"), write("b.de", "Hallo.\n")]
    assert read(*names) == [*SAID, ("Hi.", "Hallo.")]
    told = fault(names[0], names[2], names[1], names[3])
    assert told.what.startswith(
        f"`{names[1]}` and `{names[3]}` do not go together as `{names[0]}` and `{names[2]}` do; files are read two and two"
    )
    assert told.fix.endswith("a.en a.de b.en b.de")
    told = fault(names[0], names[1], names[3], names[2])
    assert told.what.startswith(f"`{names[3]}` and `{names[2]}` do not go together as `{names[0]}` and `{names[1]}` do")
    assert told.fix.endswith("a.en a.de b.en b.de")


def test_files_that_make_no_pairs_are_refused(write):
    source, target = two_files(write)
    assert fault(source, source).what == f"`{source}` is named as source and as target"
    assert fault(source).what == f"`{source}` has lines, and no file beside it has their translations"
    assert fault(source, target, source).what.startswith(f"`{source}` has lines, and no file beside it")
    assert fault(source, target, source="de", target="en").what == f"`--source de`, but `{source}` is named first"
    table = write("t.tsv", "a\tb\n")
    assert fault(table, source).what == f"`{table}` is a table and `{source}` is none"


def test_zero_bytes_are_named_wherever_they_are(write):
    wide = [write(f"w.{side}", "Go.\n".encode("utf-16-le")) for side in ("en", "de")]
    assert (fault(*wide).what, fault(*wide).where) == ("there is a zero byte in the text", wide[0])
    late = write("late.en", "a b c d\n" * 2000 + "a\0b\n")
    assert fault(late, write("late.de", "a b c d\n" * 2001)).where == f"{late}:2001"


# --- files of unequal length


def uneven(seed: int, size: int) -> tuple[list[str], list[str]]:
    """Sentences whose sides are about as long as each other."""
    rng = random.Random(seed)
    lengths = [rng.randint(2, 30) for _ in range(size)]
    return ["a " * n for n in lengths], ["bcd " * max(1, n + rng.randint(-2, 2)) for n in lengths]


def test_a_missing_line_is_looked_for_by_the_lines_lengths(write):
    source, target = uneven(1, 2000)
    del target[700]
    one, other = write("a.en", "\n".join(source)), write("a.de", "\n".join(target))
    told = fault(one, other)
    assert told.what == f"`{one}` has 2,000 lines and `{other}` has 1,999 lines; line for line there must be as many"
    where, number = told.where.rsplit(":", 1)
    assert where == one and abs(int(number) - 701) <= 30
    assert told.fix.startswith("compare both thereabouts")


def test_the_first_of_many_missing_lines_is_the_one_named():
    source, target = (np.array([len(text) for text in side]) for side in uneven(2, 3000))
    gone = [500, 900, 1300, 1700, 2100, 2500]
    assert abs(pairs.parted(source, np.delete(target, gone)) - 501) <= 15


def test_empty_lines_too_many_a_file_cut_off_and_unlike_files_are_told(write):
    source, target = uneven(3, 1000)
    one = write("a.en", "\n".join(source))
    blank = write("b.de", "\n".join([*target[:76], "", *target[76:]]))
    told = fault(one, blank)
    assert (told.where, told.fix) == (f"{blank}:77", f"take the empty lines out of `{blank}`: 77")
    cut = write("c.de", "\n".join(target[:900]))
    assert fault(one, cut).fix == f"from there on no line has a partner: `{cut}` seems to end too early"
    random.Random(1).shuffle(target)
    assert fault(one, write("d.de", "\n".join(target[:-3]))).where is None
    assert fault(one, write("e.de", "")).where == f"{one}:1"


def test_blank_lines_at_the_end_of_one_file_are_nothing(write):
    target = two_files(write)[1]
    longer = write("b.en", "".join(pair[0] + "\n" for pair in SAID) + "\n \n")
    assert read(longer, target) == SAID
    assert read(target, longer) == [pair[::-1] for pair in SAID]


# --- tables


TABLE = [("Go.", "Geh."), ('a, "b"', "ä"), ("so\nso", "so"), ("", "nur")]


def test_tables_of_every_kind_are_read(write):
    rows = [("en", "de"), *TABLE]
    as_csv = "".join(",".join('"' + cell.replace('"', '""') + '"' for cell in row) + "\n" for row in rows)
    as_json = "".join(json.dumps({"en": en, "de": de}) + "\n" for en, de in TABLE)
    as_tsv = "".join("\t".join(row) + "\n" for row in rows if "\n" not in row[0])
    assert read(write("a.csv", as_csv)) == read(write("a.jsonl", as_json)) == TABLE
    assert read(write("b.tsv", as_tsv)) == [row for row in TABLE if "\n" not in row[0]]
    path = write("c.csv.gz", as_csv)
    assert [pair.where for pair in pairs.pairs(pairs.find([path], NO_SPOOL))] == [f"{path}:{i}" for i in (2, 3, 4, 6)]


def test_parquet_is_read(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    path = tmp_path / "a.parquet"
    parquet.write_table(pyarrow.table({"id": [1, 2], "en": ["Go.", "Hi."], "de": ["Geh.", "Hallo."]}), path)
    found = pairs.find([str(path)], NO_SPOOL)
    assert list(pairs.pairs(found)) == [Pair("Go.", "Geh.", f"{path}: row 1"), Pair("Hi.", "Hallo.", f"{path}: row 2")]


@pytest.mark.parametrize(
    ("first", "columns", "header", "said"),
    [
        ("Go.\tGeh.", ("1", "2"), False, "source is column 1, target is column 2, no header line"),
        ("en\tde", ("en", "de"), True, "source is column `en`, target is column `de`, the first line is a header"),
        ("text_en\ttext_de", ("text_en", "text_de"), True, None),
        ("target\tsource", ("source", "target"), True, None),
        ("Go on\tto", ("1", "2"), False, None),
        ("7\tGo.\t9\tGeh.\tCC-BY 2.0 (France) Attribution: tatoeba.org #1", ("2", "4"), False, None),
        ("id\tsrc\ttgt\tnote", ("src", "tgt"), True, None),
        ("http://a.b/c\thttp://a.b/d\tGo.\tGeh.\t0.93", ("3", "4"), False, None),
    ],
)
def test_columns_and_header_are_found_out_and_said(write, first, columns, header, said):
    body = {4: "1\tHi.\tHallo.\tcasual", 5: first}.get(len(first.split("\t")), "Hi.\tHallo.")
    found = pairs.find([write("a.tsv", f"{first}\n{body}\n")], NO_SPOOL)
    assert ((found.source, found.target), found.header) == (columns, header)
    assert said in (None, found.said)


def test_columns_asked_for_are_taken_and_said_no_more(write):
    path = write("a.tsv", "en\tde\tfr\nGo.\tGeh.\tVa.\n")
    assert read(path, source="de", target="fr") == [("Geh.", "Va.")]
    assert read(path, source="3", target="1") == [("Va.", "Go.")]
    assert pairs.find([path], NO_SPOOL, "de", "fr").said is None
    two = write("b.jsonl", '{"en": "Go.", "de": "Geh."}\n')
    found = pairs.find([two], NO_SPOOL, "de")
    assert (found.source, found.target, found.said) == ("de", "en", "target is column `en`")


def test_tables_follow_each_other_and_agree_on_their_headers(write):
    one, two = write("a.tsv", "en\tde\nGo.\tGeh.\n"), write("b.tsv", "en\tde\nHi.\tHallo.\n")
    assert read(one, two) == [("Go.", "Geh."), ("Hi.", "Hallo.")]
    bare = write("c.tsv", "Hi.\tHallo.\n")
    assert fault(one, bare).what == f"a header line is in only one of `{one}` and `{bare}`"


def test_a_table_that_does_not_say_enough_is_refused(write):
    path = write("a.tsv", "Go.\tGeh.\tVa.\n")
    told = fault(path)
    assert told.what == f"which columns are source and target is not obvious; `{path}` has 1 (Go.), 2 (Geh.), 3 (Va.)"
    assert fault(path, source="1", target="1").what == "`--source` and `--target` both got the column `1`"
    assert fault(path, source="4", target="1").what.startswith("no column `4`")
    assert fault(path, source="en", target="2").what.startswith("no column `en`")
    assert fault(write("b.tsv", "")).what.startswith("there are no pairs in")
    assert fault(write("c.tsv", "a\tb\nc\n")).what == "this row has 1 cell; the first row has 2"
    nested = write("d.jsonl", '{"translation": {"en": "Go.", "de": "Geh."}}\n')
    assert fault(nested).what == "the column `translation` holds an object; a sentence is needed"
    assert fault(nested).fix.startswith("jq -c .translation ")


def test_standard_input_is_a_table(tmp_path, monkeypatch):
    piped = io.TextIOWrapper(io.BytesIO(b"Go.\tGeh.\nHi.\tHallo.\n"))
    monkeypatch.setattr(sys, "stdin", piped)
    found = pairs.find(["-"], tmp_path / "spool")
    assert [pair[:2] for pair in pairs.pairs(found)] == [("Go.", "Geh."), ("Hi.", "Hallo.")]
    with pytest.raises(UserError, match="`-` is named twice; standard input is read once"):
        pairs.find(["-", "-"], tmp_path / "spool")
    piped.detach()


# --- sources alone


def test_sources_come_as_they_stand_blank_ones_too(write):
    path = write("a.en", "Go.\r\n\n  \na\u2028b")
    rows = list(pairs.sources(path, NO_SPOOL))
    assert [row.text for row in rows] == ["Go.", "", "  ", "a\u2028b"]
    assert rows[3].where == f"{path}:4"
    assert list(pairs.sources(write("b.en", ""), NO_SPOOL)) == []
    with pytest.raises(UserError, match="there is a zero byte"):
        list(pairs.sources(write("c.en", "a\0b"), NO_SPOOL))


def test_sources_are_a_column_of_a_table(write):
    def texts(name, data, column=None):
        return [row.text for row in pairs.sources(write(name, data), NO_SPOOL, column)]

    assert texts("a.tsv", "en\tde\nGo.\tGeh.\n\tleer\n", "en") == ["Go.", ""]
    assert texts("b.tsv", "Go.\tGeh.\n", "2") == ["Geh."]
    assert texts("c.csv", 'source,note\n"Go, go.",x\n') == ["Go, go."]
    assert texts("d.csv", "en\nGo.\n", "english") == ["Go."]
    assert texts("e.csv", "Go.\nHi.\n", "english") == ["Go.", "Hi."]
    assert texts("f.jsonl", '{"text": "Go."}\n') == ["Go."]
    assert texts("g.tsv", "") == []
    with pytest.raises(UserError, match="which column to translate is not obvious"):
        texts("h.tsv", "Go.\tGeh.\n")


# --- checking


def made(*said: tuple[str, str]) -> list[Pair]:
    return [Pair(*both, f"f:{i}") for i, both in enumerate(said, 1)]


ORDINARY = [(f"one {i} two three", f"eins {i} zwei drei") for i in range(20)]


@pytest.mark.parametrize(
    ("pair", "kind"),
    [
        (("", " \u2028"), "both_empty"),
        ((" ", "x"), "source_empty"),
        (("x", ""), "target_empty"),
        (("a " * 31, "b c"), "long"),
        (("b c", "a " * 31), "long"),
        (("Hello there", " Hello there"), "copied"),
        (("a much longer sentence than the other side has", "@@"), "disproportionate"),
        (("@@", "ein viel längerer Satz, als die andere Seite hat"), "disproportionate"),
        (("ein " * 30, "a " * 30), None),
        (("12:30", "12:30"), None),
        (("UN", "Organisation der Vereinten Nationen"), None),
    ],
)
def test_a_pair_that_is_no_use_is_left_out_and_counted(pair, kind):
    kept = pairs.check(made(*ORDINARY, pair), longest=30)
    assert kept.faults == ({kind: Fault(1, ["f:21"])} if kind else {})
    assert [one[:2] for one in kept.pairs] == ORDINARY + ([] if kind else [pair])
    assert kept.read == 21


def test_lengths_are_counted_as_asked():
    assert pairs.check(made(*ORDINARY, ("abcdefghijklmnopqrstu", "x y z")), 20, length=len).faults["long"].count == 1


def test_sides_of_unlike_scripts_are_no_fault():
    said = [("你好世界" + "再见" * (i % 3), "hello world and much more " * 2 + "good bye " * (i % 3)) for i in range(50)]
    assert pairs.check(made(*said), 100).faults.keys() == {"repeated"}


def test_where_copying_is_the_task_copies_stay():
    said = [(f"word {i}", f"word {i}" if i % 2 else f"other {i}") for i in range(20)]
    kept = pairs.check(made(*said), 100)
    assert (len(kept.pairs), kept.faults) == (20, {"copying": Fault(10, ["f:2", "f:4", "f:6"])})


def test_the_same_pair_again_is_kept_and_counted_and_another_translation_is_not_the_same():
    kept = pairs.check(made(("a b", "c d"), ("a b", "e f"), ("a b", "c d")), 100)
    assert (len(kept.pairs), kept.faults) == (3, {"repeated": Fault(1, ["f:3"])})


def test_what_is_told_is_a_line_a_kind_with_the_first_places():
    kept = pairs.check(made(*ORDINARY, *[("", "x")] * 4, ("a " * 40, "b")), 30)
    assert pairs.told(kept) == [
        "4 pairs left out, no source (f:21, f:22, f:23, …)",
        "1 pair left out, a side of more than 30 words (f:25)",
    ]


def test_where_nothing_is_left_it_is_told_why():
    with pytest.raises(UserError, match=r"none of the 2 pairs can be trained on: 2 pairs left out, no translation \(f:1, f:2\)"):
        pairs.check(made(("a", ""), ("b", "")), 100)
    assert pairs.check([], 100).pairs == []


# --- sides that changed places


def languages(size: int, seed: int) -> list[tuple[str, str]]:
    """Two languages of 300 words each, as frequent as Zipf has them, and 30 words (names, signs) that both have."""
    rng = random.Random(seed)
    own = [[f"{letter}{i}" for i in range(300)] + [f"name{i}" for i in range(30)] for letter in "st"]
    weights = [1 / (i + 1) for i in range(300)] + [0.03] * 30
    return [tuple(" ".join(rng.choices(vocabulary, weights, k=rng.randint(5, 15))) for vocabulary in own) for _ in range(size)]


def test_pairs_whose_sides_changed_places_are_left_out():
    said, turned = languages(2000, 1), set(random.Random(2).sample(range(2000), 20))
    said = [pair[::-1] if i in turned else pair for i, pair in enumerate(said)]
    kept = pairs.check(made(*said), 100)
    assert kept.faults.keys() == {"swapped"}
    left_out = {i for i, pair in enumerate(said) if pair not in {one[:2] for one in kept.pairs}}
    assert len(left_out & turned) >= 19 and not left_out - turned


@pytest.mark.parametrize("size", [50, 300, 2000])
def test_two_sides_of_one_language_never_change_places(size):
    texts = [text for text, _ in languages(2 * size, 3)]
    assert pairs.check(made(*zip(texts[:size], texts[size:], strict=True)), 100).faults == {}


def test_a_dev_set_with_its_sides_the_other_way_round_is_refused():
    counts = pairs.check(made(*languages(500, 1)), 100).counts
    dev = languages(100, 2)
    pairs.refuse_swapped(counts, made(*dev))
    with pytest.raises(UserError) as raised:
        pairs.refuse_swapped(counts, made(*(pair[::-1] for pair in dev)), "--dev")
    assert raised.value.what.startswith("the sides of `--dev` are the other way round than those to train on, in ")
    assert raised.value.where == "f:1"
    pairs.refuse_swapped(counts, [])
    pairs.refuse_swapped(counts, made(("never seen", "nie gesehen")))


def test_pairs_of_both_sets_are_counted():
    train = made(("a", "x"), ("b", "y"), ("b", "z"), ("c", "w"))
    assert pairs.shared(iter(train), iter(made(("a", "x"), ("b", "n"), ("b", "z"), ("d", "w"), ("A", "x")))) == (3, 2)
