"""Tables: each kind of file read back as it was written, columns and header lines found out, each fault named by its place."""

import bz2
import codecs
import csv
import gzip
import io
import json
import lzma
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unrolled.data import table, text
from unrolled.errors import MISSING_EXTRA, UserError

few = settings(max_examples=60, deadline=None)
PACK = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}
NO_SPOOL = None  # `find` touches it for standard input alone
SAID = [("good, cheap", "5"), ("bad", "1"), ('they said "fine"', "5"), ("never\nagain", "1"), ("né 日 🎉", "5"), ("so so", "3")]
SAID += [("awful food", "1"), ("lovely", "5")]


def find(path, *columns, **rest) -> table.Table:
    return table.find([str(path)], NO_SPOOL, *columns, **rest)


def pairs(found: table.Table, **rest) -> list[tuple[str, str | None]]:
    return [(row.text, row.label) for row in table.rows(found, **rest)]


def fault(path, *columns, **rest) -> UserError:
    """What is said of a table, found and then read."""
    with pytest.raises(UserError) as raised:
        list(table.rows(find(path, *columns, **rest)))
    return raised.value


def as_csv(rows, delimiter=",") -> str:
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter, lineterminator="\n").writerows(rows)
    return out.getvalue()


def as_json(rows, names=("text", "label")) -> str:
    return "".join(json.dumps(dict(zip(names, row, strict=True))) + "\n" for row in rows)


@pytest.fixture
def write(tmp_path):
    def write(name: str, data: str | bytes) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        data = data.encode() if isinstance(data, str) else data
        path.write_bytes(PACK.get(path.suffix, bytes)(data))
        return path

    return write


# --- each kind of file


def test_a_csv_is_read_with_cells_over_lines_and_where_each_row_begins(write):
    path = write("a.csv", as_csv([("text", "label"), *SAID]))
    found = list(table.rows(find(path)))
    assert [(row.text, row.label) for row in found] == SAID
    assert [row.where for row in found] == [f"{path}:{line}" for line in (2, 3, 4, 5, 7, 8, 9, 10)]


def test_in_a_tsv_a_quote_is_a_character_and_a_line_is_a_row(write):
    said = [('"never closed', "1"), ("fine", "2"), ('ends" here"', "1"), ('""', "2"), ("a\rb", "1")]
    path = write("a.tsv", "".join(f"{label}\t{t}\r\n" for t, label in said[:3]) + " \n" + '2\t""\n1\ta\rb')
    found = list(table.rows(find(path, "2", "1")))
    assert [(row.text, row.label) for row in found] == said
    assert [row.where for row in found] == [f"{path}:{line}" for line in (1, 2, 3, 5, 6)]


@pytest.mark.parametrize("name", ["a.jsonl", "a.ndjson", "a.json", "a.txt"])
def test_lines_of_json_are_read_whatever_the_file_is_called(write, name):
    path = write(name, as_json(SAID[:4]) + "\n" + as_json(SAID[4:]))
    found = list(table.rows(find(path)))
    assert [(row.text, row.label) for row in found] == SAID
    assert found[4].where == f"{path}:6"


@pytest.mark.parametrize("suffix", PACK)
@pytest.mark.parametrize("size", [3, 1 << 20])
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_a_packed_table_is_the_table(write, monkeypatch, suffix, size, name):
    monkeypatch.setattr(text, "BLOCK", size)
    path = write(name + suffix, as_csv([("text", "label"), *SAID]) if name == "a.csv" else as_json(SAID))
    assert pairs(find(path)) == SAID


@pytest.mark.parametrize("data", [as_csv([("text", "label"), *SAID]), as_json(SAID), "good\t5\nbad\t1\nbad too\t1\nnice\t5\n"])
def test_standard_input_is_what_it_looks_like(tmp_path, monkeypatch, data):
    piped = io.TextIOWrapper(io.BytesIO(data.encode()))
    monkeypatch.setattr(sys, "stdin", piped)
    found = table.find(["-"], tmp_path / "spool")
    assert pairs(found) == ([("good", "5"), ("bad", "1"), ("bad too", "1"), ("nice", "5")] if "\t" in data else SAID)
    piped.detach()


def test_values_of_json_become_labels(write):
    values = [True, False, 5, 4.5, "pos", True, 5]
    path = write("a.jsonl", as_json([(f"text {i}", value) for i, value in enumerate(values)]))
    assert [label for _, label in pairs(find(path))] == ["true", "false", "5", "4.5", "pos", "true", "5"]


cell = st.text(st.sampled_from('ab ,;"\n\té🎉'), min_size=1, max_size=12).filter(lambda cell: cell.strip())


@few
@given(said=st.lists(st.tuples(cell, st.sampled_from(["x", "y"])), min_size=1, max_size=12), delimiter=st.sampled_from(",;\t|"),
       size=st.integers(1, 40))  # fmt: skip
def test_any_csv_comes_back_as_it_was_written(tmp_path_factory, said, delimiter, size):
    path = tmp_path_factory.mktemp("a") / "a.csv"
    path.write_text(as_csv([("label", "text"), *((label, t) for t, label in said)], delimiter), newline="")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text, "BLOCK", size)
        found = list(table.rows(find(path, "text", "label")))
    assert [(row.text, row.label) for row in found] == said
    written = path.read_text().split("\n")
    for row in found:  # the line it names is the one that begins with the label of that row
        assert written[int(row.where.rsplit(":", 1)[1]) - 1].startswith(row.label + delimiter)


def test_rows_are_read_as_they_are_asked_for(write):
    path = write("a.csv", as_csv([("text", "label")]) + "fine,1\n" * 5000 + "broken\n")
    found = table.rows(find(path))
    assert [next(found).text for _ in range(5000)] == ["fine"] * 5000
    with pytest.raises(UserError, match=r"this row has 1 cell; the first row has 2\n  where: .*:5002"):
        next(found)


# --- header lines


GRADES = ("gut", "schlecht")
LONG = "the food was cold and the waiter left us alone for an hour"


@pytest.mark.parametrize(
    ("first", "rest", "header"),
    [
        (("Review", "Note"), [(LONG, "5"), ("good", "1")], True),  # a known word
        (("Comment", "Urteil"), [(LONG, "gut")], True),
        (("Meinung", "Note"), [(LONG, "5"), ("good", "1"), ("meh", "5"), ("ok", "1")], True),  # `Note` is no number
        (("Meinung", "Urteil"), [(f"{LONG} {i}", GRADES[i % 2]) for i in range(20)], True),
        (("great", "gut"), [(f"{LONG} {i}", GRADES[i % 2]) for i in range(20)], False),  # `gut` comes again
        ((LONG, "selten"), [(f"{LONG} {i}", GRADES[i % 2]) for i in range(20)], False),  # a name is short
        (("great", "3"), [(f"{LONG} {i}", "15"[i % 2]) for i in range(20)], False),  # a rare label
        (("great", "gut"), [(LONG, "schlecht"), ("meh", "schlecht")], False),  # too few to tell
        (("text me", "review"), [(f"{LONG} {i}", ("review", "order")[i % 2]) for i in range(20)], False),  # a label, met again
    ],
)
@pytest.mark.parametrize("turned", [False, True])
def test_a_header_line_is_told_by_its_cells(write, first, rest, header, turned):
    order = -1 if turned else 1
    path = write("a.csv", as_csv(row[::order] for row in [first, *rest]))
    columns = ("2", "1") if turned else ("1", "2")
    found = find(path, *columns)
    assert found.header == header
    assert pairs(found) == (rest if header else [first, *rest])
    assert found[1:3] == columns
    assert found.said == ("the first line is a header" if header else "no header line")


def test_columns_asked_for_by_name_have_a_header_line(write):
    path = write("a.csv", "a,b\n1,2\n3,4\n")
    assert pairs(find(path, "b", "a")) == [("2", "1"), ("4", "3")]
    assert find(path, "b", "a").said is None


def test_names_of_a_header_line_need_no_care_for_blanks_and_labels_neither(write):
    path = write("a.csv", codecs.BOM_UTF8 + b"text, label\r\n fine , good\r\n")
    assert pairs(find(path, "text", "label")) == [(" fine ", "good")]


def test_files_that_differ_in_their_header_lines_are_refused(write):
    data = "good,5\nbad,1\nnice,5\nawful,1\n"
    paths = [str(write("a.csv", "text,label\n" + data)), str(write("b.csv", data))]
    with pytest.raises(UserError, match=r"only one of `.*a.csv` and `.*b.csv` has a header line\n  where: .*b.csv:1"):
        table.find(paths, NO_SPOOL)
    write("b.csv", "label,text\n5,good\n")
    assert pairs(table.find(paths, NO_SPOOL)) == [("good", "5"), ("bad", "1"), ("nice", "5"), ("awful", "1"), ("good", "5")]


def test_a_file_without_rows_beside_others_is_passed_over(write):
    paths = [str(write("a.csv", "")), str(write("b.csv", "text,label\nfine,5\n")), str(write("c.csv", "text,label\n"))]
    assert pairs(table.find(paths, NO_SPOOL)) == [("fine", "5")]


# --- which column is which


@pytest.mark.parametrize(
    ("data", "text", "label", "said"),
    [
        ("id,sentence,label\n1,good,5\n2,bad,1\n", "sentence", "label", "text is column `sentence`, label is column `label`"),
        ("Rating,Title,Review Text\n5,a,b\n", "Review Text", "Rating", "text is column `Review Text`, label is column `Rating`"),
        ("text,comment,stars,label\na,b,c,d\n", "text", "label", "text is column `text`, label is column `label`"),
        ("review,Note\na,so\nb,no\nc,so\nd,no\n", "review", "Note", "text is column `review`, label is column `Note`"),
        ("Satz,label\ngood,so\n", "Satz", "label", "text is column `Satz`, label is column `label`"),
    ],
)
def test_columns_are_known_by_their_names(write, data, text, label, said):
    found = find(write("a.csv", data))
    assert (found.text, found.label, found.header) == (text, label, True)
    assert found.said == said + ", the first line is a header"


@pytest.mark.parametrize("turned", [False, True])
def test_of_two_columns_the_one_with_few_values_is_the_label(write, turned):
    said = [(f"{LONG} {i}", "15"[i % 2]) for i in range(4)]
    found = find(write("a.tsv", "".join("\t".join(row[:: -1 if turned else 1]) + "\n" for row in said)))
    assert pairs(found) == said
    assert found.said == f"text is column {1 + turned}, label is column {2 - turned}, no header line"


def test_labels_longer_than_their_texts_are_told_by_being_very_few(write):
    said = [(f"w{i}", "a long label" if i % 2 else "another one") for i in range(20)]
    assert pairs(find(write("a.csv", as_csv(said)))) == said
    assert fault(write("a.csv", as_csv(said[:6]))).what.startswith("which column is the text is not obvious")


def test_names_of_json_fields_are_known_too_and_numbers_become_names(write):
    path = write("a.jsonl", as_json([("good", 5), ("bad", 1), ("nice", 5)], ("body", "n")) + '{"n": 1, "body": "so so"}\n')
    found = find(path)
    assert (found.text, found.label, found.said) == ("body", "n", "text is column `body`, label is column `n`")
    assert find(path, "1", "2")[1:3] == ("body", "n")
    assert pairs(find(path, "1", "2"))[-1] == ("so so", "1")


def test_one_column_given_leaves_the_other_of_two(write):
    path = write("a.csv", "good,so\nbad,no\n")
    assert find(path, text="1")[1:3] == ("1", "2")
    assert find(path, label="1")[1:3] == ("2", "1")


@pytest.mark.parametrize(
    ("data", "columns", "what", "shown"),
    [
        ("1,good,5\n2,bad,1\n", (), "text", "1 (1), 2 (good), 3 (5)"),
        ("id,text\n1,good\n2,bad\n3,bad\n", (), "label", "`id` (1), `text` (good)"),
        ("review,comment,label\ngood,no,5\n", (), "text", "`review` (good), `comment` (no), `label` (5)"),
        ("text,stars,rating\ngood,4,5\n", (), "label", "`text` (good), `stars` (4), `rating` (5)"),
        ("id,x,y\n1,good,2\n", ("x", None), "label", "`id` (1), `x` (good), `y` (2)"),
        (f"a,{LONG}\nb,no\n", (), "text", "1 (a), 2 (the food was cold and the waite…)"),
        ("text\ngood\n", (), "label", "`text` (good)"),
        ("so good,x\nso bad,y\nso so,y\n", (), "text", "1 (so good), 2 (x)"),  # too few rows to tell
    ],
)
def test_columns_that_are_not_obvious_are_listed_with_an_example(write, data, columns, what, shown):
    path = write("a.csv", data)
    error = fault(path, *columns)
    assert error.what == f"which column is the {what} is not obvious; `{path}` has {shown}"
    assert error.fix == "name them, each by its name or number: --text COLUMN --label COLUMN"


@pytest.mark.parametrize(
    ("delimiter", "said"), [(";", "`;` between cells"), ("\t", "a tab between cells"), ("|", "`|` between cells")]
)
def test_what_stands_between_cells_is_found_out(write, delimiter, said):
    rows = [(f"good, cheap {i}; nice" if i % 3 else f"a, {i}", "15"[i % 2]) for i in range(60)]
    path = write("a.csv", as_csv([("text", "label"), *rows], delimiter))
    assert pairs(find(path)) == rows
    assert find(path).said.endswith(f", {said}")
    assert find(path, "text", "label").said == said


def test_a_semicolon_here_and_there_stands_between_no_cells(write):
    said = ["gut; sehr", "schlecht", "so; so", "nein"]
    assert pairs(find(write("a.csv", "\n".join(said)), labelled=False)) == [(line, None) for line in said]


def test_cells_of_very_many_lines_do_not_hide_what_stands_between_them(write):
    rows = [("so it went\n" * 40, str(i)) for i in range(5)]
    assert pairs(find(write("a.csv", as_csv(rows, ";")), "1", "2")) == rows


def test_a_broken_row_does_not_change_what_stands_between_cells(write):
    path = write("a.csv", "text;label\n" + "good, cheap;5\n" * 20 + "bad, dear\n" + "fine;1\n" * 20)
    assert fault(path).where == f"{path}:22"


# --- texts alone


def test_each_line_of_a_text_is_a_text(write):
    path = write("a.txt", "good, cheap\r\n\nbad, dear\n")
    found = find(path, "review", "stars", labelled=False)  # what a run trained on a table asks for
    assert pairs(found, empty="keep") == [("good, cheap", None), ("", None), ("bad, dear", None)]
    assert found[1:3] == (None, None)
    with pytest.raises(UserError, match=f"the text is empty here\n  where: {path}:2"):
        pairs(found)


@pytest.mark.parametrize("data", ["review,stars\ngood,5\n", "review\ngood\n", "id,review,x\n1,good,2\n"])
@pytest.mark.parametrize("columns", [("review", "stars"), (None, None)])
def test_a_table_needs_no_label_where_none_is_wanted(write, data, columns):
    assert pairs(find(write("a.csv", data), *columns, labelled=False)) == [("good", None)]


def test_texts_alone_keep_the_column_number_of_the_table_they_were_in(write):
    both, alone = write("a.tsv", "5\tgood\n1\tbad\n"), write("b.tsv", "good\nbad\n")
    assert pairs(find(both, "2", "1", labelled=False)) == [("good", None), ("bad", None)]
    assert pairs(find(alone, "2", "1", labelled=False)) == [("good", None), ("bad", None)]


def test_a_header_line_over_texts_alone_is_told_as_it_was_in_training(write):
    path = write("a.csv", "Meinung,Note\ngood,5\nbad,1\n")
    assert pairs(find(path, "1", "2", labelled=False)) == [("good", None), ("bad", None)]


def test_lines_of_text_are_not_mixed_with_tables(write):
    paths = [str(write("a.txt", "so so\n")), str(write("a.jsonl", as_json(SAID)))]
    for names in (paths, paths[::-1]):
        with pytest.raises(UserError, match="plain texts and tables cannot be read as one: "):
            table.find(names, NO_SPOOL, labelled=False)


# --- folders


def test_a_folder_for_each_label_is_read(tmp_path, write):
    for name, said in {"pos/b.txt": "nice\n", "pos/a.txt.gz": "good\nfood\n", "neg/1.txt": "bad", "neg/.hidden": "no"}.items():
        write(f"reviews/{name}", said)
    write("reviews/urls.txt", "left out")
    found = find(tmp_path / "reviews")
    assert pairs(found) == [("bad", "neg"), ("good\nfood", "pos"), ("nice", "pos")]
    assert [row.where for row in table.rows(found)][1] == str(tmp_path / "reviews" / "pos" / "a.txt.gz")
    assert found.said == f"each folder in `{tmp_path / 'reviews'}` is a label: neg (1 text), pos (2 texts)"
    write("reviews/pos/c.txt", " \n")
    assert fault(tmp_path / "reviews").where == str(tmp_path / "reviews" / "pos" / "c.txt")


def test_a_folder_of_tables_is_its_tables(tmp_path, write):
    write("parts/b.csv", "text,label\nbad,1\n")
    write("parts/a.csv.gz", "text,label\ngood,5\n")
    write("parts/README.md", "no table")
    assert pairs(find(tmp_path / "parts")) == [("good", "5"), ("bad", "1")]


def test_a_folder_with_one_label_or_none_is_refused(tmp_path, write):
    write("reviews/pos/a.txt", "good")
    assert f"the folder `{tmp_path / 'reviews'}` has no table in it, and 1 folder of texts" in fault(tmp_path / "reviews").what
    assert "has no table in it, and 0 folders of texts; each label is a folder" in fault(tmp_path / "reviews" / "pos").what
    write("reviews/neg/a.txt", "bad")
    write("a.csv", "text,label\ngood,5\n")
    with pytest.raises(UserError, match=r"plain texts and tables cannot be read as one: .*/reviews, .*/a.csv"):
        table.find([str(tmp_path / "reviews"), str(tmp_path / "a.csv")], NO_SPOOL)


# --- Parquet


@pytest.fixture
def parquet(tmp_path):
    pyarrow = pytest.importorskip("pyarrow", reason="Parquet needs pyarrow: pip install 'unrolled[data]'")
    from pyarrow import parquet

    def write(columns: dict, name: str = "a.parquet") -> Path:
        parquet.write_table(pyarrow.table(columns), tmp_path / name, row_group_size=700)
        return tmp_path / name

    return write


@pytest.mark.parametrize("name", ["a.parquet", "a.data"])
def test_parquet_is_read_by_its_row_numbers(parquet, name):
    said = [(f"text {i}", i % 5) for i in range(1500)]
    path = parquet({"id": range(1500), "label": [label for _, label in said], "text": [t for t, _ in said]}, name)
    found = list(table.rows(find(path)))
    assert [(row.text, row.label) for row in found] == [(t, str(label)) for t, label in said]
    assert found[1234].where == f"{path}: row 1235" if name == "a.parquet" else f"{path}:1235"
    assert find(path, "3", "2")[1:3] == ("text", "label")


def test_faults_of_parquet_name_the_row(parquet, write):
    path = parquet({"text": ["good", None, "bad"], "label": ["a", "b", None], "parts": [["x"], [], []]})
    assert (fault(path, "text", "label").what, fault(path, "text", "label").where) == (
        "the column `text` is empty here", f"{path}: row 2",
    )  # fmt: skip
    with pytest.raises(UserError, match=f"the column `label` is empty here\n  where: {path}: row 3"):
        pairs(find(path, "text", "label"), empty="keep")
    assert fault(path, "parts", "label").what.startswith("the column `parts` holds a list here")
    assert fault(path, "texts", "label").fix == "did you mean `text`?"
    damaged = write("b.parquet", path.read_bytes()[:-20] + b"x" * 20)
    assert fault(damaged).what.startswith(f"`{damaged}` is damaged Parquet: ")


def test_parquet_without_its_package_names_the_extra(write, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    error = fault(write("a.parquet", b"PAR1"))
    assert "is Parquet, which needs pyarrow" in error.what
    assert (error.code, error.fix) == (MISSING_EXTRA, 'pip install "unrolled[data]"')


# --- faults


@pytest.mark.parametrize(
    ("name", "data", "what", "line"),
    [
        ("a.csv", "text,label\n\ngood,5\n,1\n", "the column `text` is empty here", 4),
        ("a.csv", "text,label\ngood,5\n \t,1\n", "the column `text` is empty here", 3),
        ("a.csv", 'text,label\n"so\nso",5\nbad, \n', "the column `label` is empty here", 4),
        ("a.csv", "text,label\ngood,5\nbad\n", "this row has 1 cell; the first row has 2", 3),
        ("a.csv", 'text,label\n"so\nso",5\nbad, dear,1\n', "this row has 3 cells; the first row has 2", 4),
        ("a.csv", 'text,label\ngood,5\n"never closed,1\nfine,2\n', "not a table: unexpected end of data", 3),
        ("a.csv", 'text,label\n"so\nso",5\n"bad" place,5\n', "not a table: ", 4),
        ("a.csv", "text,label\nold,5\rmac,1\n", "not a table: ", 2),
        ("a.csv", "text,text,label\ngood,nice,5\n", "the header line has the column `text` 2 times", 1),
        ("a.tsv", "text\tlabel\ngood\tbad\t5\n", "this row has 3 cells; the first row has 2", 2),
        ("a.jsonl", '{"text": "good", "label": 5}\n\n{"text": "cut', "not JSON: ", 3),
        ("a.jsonl", '{"text": "good", "label": 5}\n\0\n', "not JSON: ", 2),
        ("a.jsonl", '{"text": "good", "label": 5}\n' + "[" * 100_000, "not JSON: ", 2),  # deeper than Python recurses
        ("a.jsonl", '{"text": "good", "label": 5}\n[1]\n', "each line is a JSON object with named fields", 2),
        ("a.jsonl", '{"text": "good", "label": 5}\n{"text": "a", "stars": 1}\n', "no column `label`; the row has text, stars", 2),
        ("a.jsonl", '{"text": "good", "label": 5}\n{"text": "bad", "label": null}\n', "the column `label` is empty here", 2),
        ("a.jsonl", '{"text": "good", "label": 5}\n{"text": ["bad"], "label": 1}\n', "the column `text` holds a list here", 2),
        ("a.jsonl", '{"text": "good", "label": {"stars": 5}}\n', "the column `label` holds an object here", 1),
    ],
)  # fmt: skip
def test_a_row_at_fault_is_named_by_file_and_line(write, name, data, what, line):
    path = write(name, data)
    error = fault(path, "text", "label")
    assert error.what.startswith(what)
    assert error.where == f"{path}:{line}"


@pytest.mark.parametrize(
    ("columns", "what", "fix"),
    [
        (("txt", "label"), "no column `txt`; the row has text, label", "did you mean `text`?"),
        (("text", "zebra"), "no column `zebra`; the row has text, label", "a column goes by its name, or by its number"),
        (("1", "3"), "no column `3`; the row has text, label", "a column goes by"),
        (("0", "2"), "no column `0`; the row has text, label", "a column goes by"),
        (("text", "text"), "`--text` and `--label` both got the column `text`", "give two columns"),
        (("1", "text"), "`--text` and `--label` both got the column `1`", "give two columns"),
    ],
)
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_a_column_that_is_not_there_or_there_twice_is_named(write, name, columns, what, fix):
    said = [("good", "5"), ("bad", "1"), ("nice", "5")]
    error = fault(write(name, as_csv([("text", "label"), *said]) if name == "a.csv" else as_json(said)), *columns)
    assert error.what == what
    assert error.fix.startswith(fix)


@pytest.mark.parametrize(("column", "there"), [("3", "1, 2"), ("text", "5, the food was cold and the waite…")])
def test_a_column_of_a_file_without_header_line_is_shown_what_there_is(write, column, there):
    assert fault(write("a.csv", f"5,{LONG}\n1,bad\n"), column, "1").what == f"no column `{column}`; the row has {there}"


@pytest.mark.parametrize("data", ["", "\n\n", "text,label\n", "text,label"])
def test_a_table_without_rows_is_named(write, data):
    path = write("a.csv", data)
    assert fault(path).what == f"there are no rows in `{path}`"
    assert fault(path, "text", "label").what == f"there are no rows in `{path}`"


def test_no_rows_are_found_out_while_reading_too(write):
    path = write("a.csv", "text,label\ngood,5\n")
    found = find(path)
    path.write_text("text,label\n")
    with pytest.raises(UserError, match="there are no rows in"):
        list(table.rows(found))


@pytest.mark.parametrize(
    ("name", "data", "fix"),
    [
        ("a.pdf", b"%PDF-1.7\n\0\1\2", "save the table as .csv or .jsonl"),
        ("a.txt", "one line\nand, another\nof prose\n", "save the table as .csv or .jsonl"),
        ("a.json", '[{"text": "good", "label": 5},\n {"text": "bad", "label": 1}]\n', "jq -c '.[]' a.json > a.jsonl"),
        ("a.txt", "", "save the table"),
    ],
)
def test_a_file_of_no_kind_is_refused(write, name, data, fix):
    path = write(name, data)
    error = fault(path)
    assert error.what.startswith(f"`{path}` is no table: neither CSV, TSV, Parquet nor JSONL")
    assert error.fix.startswith(fix)
    assert name == "a.txt" or fault(path, labelled=False).what == error.what


def test_a_byte_that_is_no_text_is_named_by_its_offset(write):
    path = write("a.csv", b"text,label\nfine,5\n" + b"good,5\n" * 2000 + b"\xff,1\n")
    assert fault(path).what.startswith(f"byte {18 + 14_000} of `{path}` is not utf-8: 0xff")
    assert pairs(find(path, encoding="latin-1"))[-1] == ("ÿ", "1")


def test_two_bytes_a_character_are_no_sign_of_a_binary_file(write):
    path = write("a.txt", "good\t5\nbad\t1\nnice\t5\nawful\t1\n".encode("utf-16"))
    assert pairs(find(path, encoding="utf-16")) == [("good", "5"), ("bad", "1"), ("nice", "5"), ("awful", "1")]


def test_no_names_and_missing_files_are_no_data(tmp_path):
    with pytest.raises(UserError, match="no data was named"):
        table.find([], NO_SPOOL)
    assert fault(tmp_path / "a.csv").what == f"`{tmp_path / 'a.csv'}` does not exist"


# --- records: a column for a language model

COLUMNS = [("Ann, the first\nof hers", "en"), ('said "é🎉"', "fr"), ("tab here", "de")]


def records(path, column="text", condition=None) -> list[table.Row]:
    return list(table.records([path], column, condition, "utf-8"))


def test_records_have_texts_labels_and_places(write):
    path = write("a.csv", as_csv([("text", "lang"), *COLUMNS]))
    assert [row[:2] for row in records(path, condition="lang")] == COLUMNS
    assert [(row.label, row.where) for row in records(path)] == [(None, f"{path}:{line}") for line in (2, 4, 5)]
    assert records(path, "1", "2") == records(path, "text", "lang")
    path = write("a.jsonl", as_json(COLUMNS, ("text", "lang")))
    assert [row[:2] for row in records(path, condition="lang")] == [row[:2] for row in records(path, "1", "2")] == COLUMNS


def test_a_record_that_is_not_text_is_read_as_json(write):
    path = write("a.jsonl", '{"text": 3.5}\n\n{"text": ["é"]}\n{"text": null}\n')
    assert [(row.text, row.where[-1]) for row in records(path)] == [("3.5", "1"), ('["é"]', "3"), ("", "4")]


def test_half_a_pair_of_surrogates_in_json_is_no_crash_later(write):
    path = write("a.jsonl", '{"text": "a \\ud83d b"}\n')
    assert records(path)[0].text.encode() == "a \ufffd b".encode()


def test_records_of_a_file_without_header_line_go_by_number(write):
    assert [row[:2] for row in records(write("a.tsv", 'Abel\ten\n"Zoë\tfr\n'), "1", "2")] == [("Abel", "en"), ('"Zoë', "fr")]


def test_no_records_are_no_fault_of_the_reader(write):
    assert records(write("a.csv", ""), "1") == records(write("a.csv", "text\n"), "text") == []


def test_records_of_a_file_that_is_no_table_are_refused(write):
    with pytest.raises(UserError, match=r"`--column text` needs a table; `.*a.txt` is none of .jsonl, .csv, .tsv"):
        records(write("a.txt", "text\nfine\n"))
