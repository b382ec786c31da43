"""Tagged sentences from files: columns, JSON lines and prose, every fault with its file and line."""

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unrolled import spans
from unrolled.data import tagged, tokens
from unrolled.errors import UserError

few = settings(max_examples=80, deadline=None)


def read(text: str | bytes, tmp_path: Path, column=None, labelled=True, name="a.conll", **more) -> list[tagged.Sentence]:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return list(tagged.read([path], column, "utf-8", labelled, **more))


def lines(*rows: dict) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def told(text: str, tmp_path: Path, **more) -> str:
    """What a person is told of a wrong file, its folder left out."""
    with pytest.raises(UserError) as raised:
        read(text, tmp_path, **more)
    return str(raised.value).replace(f"{tmp_path}/", "")


# --- columns


@pytest.mark.parametrize("between", ["\t", " ", "   "])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("blank", ["", "\t", "  \t ", "\u00a0"])
def test_columns_and_blank_lines_as_files_have_them(tmp_path, between, end, blank):
    rows = ["EU B-org", "rejects O", "", "John B-person", "Smith I-person", "", "", "! O"]
    text = end.join(row.replace(" ", between) if row else blank for row in rows)
    for last in ("", end, end + blank + end):
        first, second, third = read(text + last, tmp_path)
        assert first == (["EU", "rejects"], ["S-org", "O"], f"{tmp_path}/a.conll:1")
        assert second == (["John", "Smith"], ["B-person", "E-person"], f"{tmp_path}/a.conll:4")
        assert third == (["!"], ["O"], f"{tmp_path}/a.conll:8")


CONLL03 = "-DOCSTART- -X- O O\n\nEU NNP I-NP I-ORG\nrejects VBZ I-VP O\n\n-DOCSTART- -X- O O\nit PRP I-NP O\n"


def test_documents_begin_and_are_no_words(tmp_path):
    found = read(CONLL03, tmp_path)
    assert [(words, tags) for words, tags, _ in found] == [(["EU", "rejects"], ["S-ORG", "O"]), (["it"], ["O"])]


def test_the_tag_can_be_in_any_column(tmp_path):
    assert [tags for _, tags, _ in read(CONLL03, tmp_path, column="3")] == [["S-NP", "S-VP"], ["S-NP"]]


def test_signs_and_spaces_inside_words_stay(tmp_path):
    words = ["#photography", "#", "a\u00a0b", "\u00a0", "\u2028", "日本", '"', "\ufeff", "{", "New York", "''"]
    found = read("\ufeffx\tO\n" + "".join(f"{word}\tO\n" for word in words), tmp_path)
    assert [sentence.words for sentence in found] == [["x", *words]]


def test_comments_stand_before_sentences_and_have_no_tag(tmp_path):
    text = "# newdoc id = 1\n# text = EU it O\nEU\tB-org\n#it\tO\n\n#\n# sent_id = 2\n#yes\tB-org\n"
    assert [(words, tags) for words, tags, _ in read(text, tmp_path)] == [(["EU", "#it"], ["S-org", "O"]), (["#yes"], ["S-org"])]
    assert read(text.replace("\t", " "), tmp_path)[1] == (["#yes"], ["S-org"], f"{tmp_path}/a.conll:8")


@pytest.mark.parametrize("between", ["\t", " "])
def test_a_remark_inside_a_sentence_is_skipped(tmp_path, between):
    text = "EU B-org\n# who is this then ?\nrejects O\n".replace(" B", f"{between}B").replace(" O", f"{between}O")
    assert [sentence[:2] for sentence in read(text, tmp_path)] == [(["EU", "rejects"], ["S-org", "O"])]
    assert [sentence.words for sentence in read(text, tmp_path, labelled=False)] == [["EU", "rejects"]]


def test_a_word_whose_tag_stands_apart_by_a_blank_is_no_remark(tmp_path):
    assert "`# O` has no tag; a row has 2 columns" in told("EU\tO\n# O\nis\tO\n", tmp_path)


def test_a_word_without_its_tag_is_no_comment_inside_a_sentence(tmp_path):
    assert told("EU\tO\n#it\nis\tO\n", tmp_path) == (
        "`#it` has no tag; a row has 2 columns, and comments stand before a sentence\n  where: a.conll:2"
    )


@pytest.mark.parametrize(
    ("text", "column", "wanted"),
    [
        ("a\tO\nb\tX\tO\n", None, "2 columns are needed, as in the first row; this one has 3\n  where: a.conll:2"),
        (
            "a O\n\nNew York O\n",
            None,
            "2 columns are needed, as in the first row; this one has 3\n  where: a.conll:3\n  next:  a word with blanks",
        ),
        ("a\tO\n\tO\n", None, "the word is empty\n  where: a.conll:2\n  next:  give it a text, or leave the row out"),
        ("a\nb\n", None, "this row has 1 column; a word and its tag are needed\n  where: a.conll:1\n  next:  put a tab"),
        (
            "a\tO\nb\t0\n",
            None,
            "`0` is not a tag; allowed are O, and B-, I-, E- or S- before a kind\n  where: a.conll:2\n  next:",
        ),
        (
            "a NN\n",
            None,
            "`NN` is not a tag; allowed are O, and B-, I-, E- or S- before a kind\n  where: a.conll:1\n  next:  name",
        ),
        ("a O\n", "3", "`--column` got `3`; the tag is in one of the columns 2 to 2\n  where: a.conll:1"),
        ("a O\n", "1", "`--column` got `1`; the tag is in"),
        ("a O\n", "ner", "`--column` got `ner`; the tag is in"),
        ("a O\n", "0", "`--column` got `0`; the tag is in"),
        ("\n \n", None, "`a.conll` has no sentence in it\n  where: a.conll"),
        ("", None, "`a.conll` has no sentence in it"),
    ],
)
def test_wrong_rows_are_named(tmp_path, text, column, wanted):
    assert told(text, tmp_path, column=column).startswith(wanted)


def test_a_byte_that_is_no_text_is_named(tmp_path):
    with pytest.raises(UserError, match="byte 3 of"):
        read(b"a\tO\xff\n", tmp_path)


# --- schemes

MIXED = "a\tB-x\nb\tI-x\n\nc\tO\nd\tI-person\n\ne\tB-x\nf\tO\n"


def test_an_invalid_sequence_is_named_with_its_line_and_two_ways_out(tmp_path):
    assert told(MIXED, tmp_path) == (
        "`I-person` follows `O`, which bio does not allow\n  where: a.conll:5\n  next:  mend the tag, or read such tags as "
        "conlleval does with `--repair`; where I may begin a span, the scheme is `--scheme iob1`"
    )
    for way in ({"repair": True}, {"scheme": "iob1"}):
        assert [tags for _, tags, _ in read(MIXED, tmp_path, **way)] == [["B-x", "E-x"], ["O", "S-person"], ["S-x", "O"]]


def test_an_unended_span_is_named_where_the_sentence_ends(tmp_path):
    text = "# c\na\tS-x\n\nb\tB-x\nc\tI-x\n\n"
    assert told(text, tmp_path).startswith(
        "the sentence ends after `I-x`, which bioes does not allow\n  where: a.conll:5\n  next:"
    )
    assert "iob1" not in told(text, tmp_path)
    assert read(text, tmp_path, repair=True)[1].tags == ["B-x", "E-x"]


def test_a_scheme_asked_for_is_the_one_taken(tmp_path):
    assert told("a\tB-x\nb\tE-x\n", tmp_path, scheme="bio").startswith(
        "`E-x` is used, which bio does not allow\n  where: a.conll:2"
    )
    assert told("a\tB-x\nb\tO\n", tmp_path, scheme="bioes").startswith("`O` follows `B-x`, which bioes does not allow")


def test_each_file_has_its_own_scheme(tmp_path):
    texts = {"a": "a\tI-x\nb\tB-x\nc\tI-y\n", "b": "a\tS-x\nb\tS-x\nc\tS-y\n", "c": "a\tB-x\nb\tB-x\nc\tB-y\n"}
    paths = [tmp_path / name for name in texts]
    for path in paths:
        path.write_text(texts[path.name])
    found = list(tagged.read(paths, None, "utf-8"))
    assert [sentence.tags for sentence in found] == [["S-x", "S-x", "S-y"]] * 3
    assert [sentence.where for sentence in found] == [f"{path}:1" for path in paths]


words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\t\n\r "), min_size=1, max_size=6)


@pytest.mark.parametrize("scheme", spans.SCHEMES)
@few
@given(data=st.data())
def test_what_is_written_in_columns_is_read(scheme, data, tmp_path_factory):
    text, wanted = "", []
    for line in data.draw(st.lists(st.lists(words, min_size=1, max_size=6), min_size=1, max_size=4)):
        line = [word for word in line if not word.startswith(("-DOCSTART-", "{", "\ufeff"))] or ["x"]
        border = data.draw(st.integers(0, len(line)))
        named = [spans.Span(*pair, "k") for pair in ((0, border), (border, len(line))) if pair[0] < pair[1]]
        tags = spans.tags(named, len(line), scheme)
        text += "".join(f"{word}\t{tag}\n" for word, tag in zip(line, tags, strict=True)) + "\n"
        wanted.append((line, spans.tags(named, len(line), "bioes")))
    found = read(text, tmp_path_factory.mktemp("columns"), scheme=scheme)
    assert [(words, tags) for words, tags, _ in found] == wanted


# --- JSON lines


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "stdin", "a.conll"])
def test_spans_of_characters_become_tags_of_words(tmp_path, name):
    text = "In New York, I saw Rosa."
    marked = [{"start": 3, "end": 11, "label": "place"}, {"start": 19, "end": 23, "label": "creative-work"}]
    triples = [[19, 23, "creative-work"], [3, 11, "place"]]
    rows = [{"text": text, "spans": marked}, {"id": 7, "text": text, "entities": triples}, {"text": text, "label": triples}]
    for sentence in read(lines(*rows), tmp_path, name=name):
        assert sentence.words == ["In", "New", "York", ",", "I", "saw", "Rosa", "."]
        assert sentence.tags == ["O", "B-place", "E-place", "O", "O", "O", "S-creative-work", "O"]


def test_blank_lines_and_empty_texts_are_no_sentences(tmp_path):
    text = lines({"text": "Rosa", "spans": []}) + "\n" + lines({"text": " ", "spans": []}, {"text": "x", "spans": []})
    assert [sentence.where[-1] for sentence in read(text, tmp_path, name="a.jsonl")] == ["1", "4"]


def test_words_and_tags_as_lists(tmp_path):
    rows = [{"words": ["New York", "it", "x"], "tags": ["I-x", "I-x", "I-y"]}, {"tokens": ["a"], "ner_tags": ["O"]}]
    found = read(lines(*rows), tmp_path)
    assert [tuple(sentence[:2]) for sentence in found] == [(["New York", "it", "x"], ["B-x", "E-x", "S-y"]), (["a"], ["O"])]


def test_spans_of_characters_have_no_scheme(tmp_path):
    rows = [{"text": "Rosa", "spans": [[0, 4, "x"]]}, {"words": ["New", "York"], "tags": ["I-x", "I-x"]}]
    assert [sentence.tags for sentence in read(lines(*rows), tmp_path)] == [["S-x"], ["B-x", "E-x"]]
    assert [sentence.tags for sentence in read(lines(rows[0]), tmp_path, scheme="bio")] == [["S-x"]]


def test_a_field_of_another_name(tmp_path):
    rows = [{"text": "Rosa", "marks": [[0, 4, "person"]]}, {"words": ["Rosa"], "marks": ["S-person"], "tags": ["O"]}]
    assert [sentence.tags for sentence in read(lines(*rows), tmp_path, column="marks")] == [["S-person"]] * 2


@pytest.mark.parametrize(
    ("text", "span", "cut", "tags"),
    [
        ("a non-Parisian!", (6, 13), "a|non|-|Parisia|n|!", "O|O|O|S-x|O|O"),
        ("3.14-inch", (0, 4), "3.14|-|inch", "S-x|O|O"),
        ("@paul's", (1, 5), "@|paul|'s", "O|S-x|O"),
        ("don't", (0, 2), "do|n't", "S-x|O"),
        ("Yorkshire", (2, 5), "Yo|rks|hire", "O|S-x|O"),
        (" New  York ", (0, 11), "New|York", "B-x|E-x"),  # white space at the borders
        ("J. Smith", (3, 8), "J.|Smith", "O|S-x"),  # the words around are cut as they are without spans
        ("日本に", (0, 2), "日|本|に", "B-x|E-x|O"),
    ],
)
def test_a_border_inside_a_word_cuts_it(tmp_path, text, span, cut, tags):
    (found,) = read(lines({"text": text, "spans": [[*span, "x"]]}), tmp_path)
    assert ("|".join(found.words), "|".join(found.tags)) == (cut, tags)


@few
@given(text=st.text("ab -'.1\u00a0日", min_size=1, max_size=20), data=st.data())
def test_spans_are_found_again_whatever_their_borders(text, data, tmp_path_factory):
    places = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=6)))
    pairs = zip(places[::2], places[1::2], strict=False)
    marked = [[start, end, "k"] for start, end in pairs if text[start:end].strip()]
    found = read(
        lines({"text": text, "spans": marked}), tmp_path_factory.mktemp("spans"), name="a.jsonl", labelled=bool(text.strip())
    )
    if not text.strip():
        assert found == []
        return
    (sentence,) = found
    assert "".join(sentence.words) == "".join(text.split())
    again = ["".join(sentence.words[start:end]) for start, end, _ in spans.spans(sentence.tags, "bioes")]
    assert again == ["".join(text[start:end].split()) for start, end, _ in marked]


GOOD = {"text": "a b", "spans": []}


@pytest.mark.parametrize(
    ("row", "wanted"),
    [
        ({"text": "New York", "spans": [[0, 5, "x"], [4, 8, "y"]]},
         "the spans `New Y` (0 to 5) and `York` (4 to 8) overlap; a word has one tag\n  where: a.jsonl:2\n  next:  keep one"),
        ({"text": "ab", "spans": [[0, 3, "x"]]},
         "the span from 0 to 3 is not inside the text, which has 2 characters\n  where: a.jsonl:2\n  next:  `start` and"),
        ({"text": "ab", "spans": [[-1, 2, "x"]]}, "the span from -1 to 2 is not inside the text"),
        ({"text": "ab", "spans": [[1, 1, "x"]]}, "the span from 1 to 1 is not inside the text"),
        ({"text": "a  b", "spans": [[1, 3, "x"]]}, "the span from 1 to 3 has no word in it\n  where: a.jsonl:2"),
        ({"text": "ab", "spans": [[0, "x"]]}, '`[0, "x"]` is not a span; start, end and label are needed\n  where: a.jsonl:2'),
        ({"text": "ab", "spans": [{"start": 0, "end": 2}]}, '`{"start": 0, "end": 2}` is not a span; start, end'),
        ({"text": "ab", "spans": [[0, 1.0, "x"]]}, '`[0, 1.0, "x"]` is not a span; start, end and label'),
        ({"text": "ab", "spans": [[0, True, "x"]]}, '`[0, true, "x"]` is not a span; start, end and label'),
        ({"text": "ab", "spans": [[0, 1, " "]]}, '`[0, 1, " "]` is not a span; start, end and label'),
        ({"text": "ab", "spans": {"start": 0}}, '`spans` is `{"start": 0}`; a list is needed\n  where: a.jsonl:2'),
        ({"text": "ab", "ents": []}, "no field `spans` or `entities` or `labels` or `label`; the row has text, ents"),
        ({"text": None, "words": []}, "`text` is `null`; a text is needed\n  where: a.jsonl:2"),
        ({"title": "ab"}, "no field `words` or `tokens`; the row has title\n  where: a.jsonl:2"),
        ({"words": ["a"]}, "no field `tags` or `ner_tags`; the row has words\n  where: a.jsonl:2\n  next:  name another field"),
        ({"words": ["a"], "tags": []}, "every word needs its tag; words: 1, tags: 0\n  where: a.jsonl:2"),
        ({"words": ["a", ""], "tags": ["O", "O"]}, '`""` is not a word; texts that are not empty are needed\n  where: a.jsonl:2'),
        ({"words": ["a"], "tags": [3]}, "`3` is not a tag; texts that are not empty are needed\n  where: a.jsonl:2"),
        ({"words": ["a"], "tags": ["NN"]}, "`NN` is not a tag; allowed are O, and B-, I-, E- or S- before a kind\n  where: a"),
        ({"words": ["a", "b"], "tags": ["B-x", "I-y"]}, "`I-y` follows `B-x`, which bio does not allow\n  where: a.jsonl:2"),
        ([1], "each line is a JSON object with named fields\n  where: a.jsonl:2"),
    ],
)  # fmt: skip
def test_wrong_json_is_named(tmp_path, row, wanted):
    assert told(lines(GOOD, row), tmp_path, name="a.jsonl").startswith(wanted)


def test_broken_json_is_named(tmp_path):
    assert told(lines(GOOD) + '{"text": \n', tmp_path, name="a.jsonl").startswith("not JSON: ")


def test_half_characters_of_broken_json_become_whole(tmp_path):
    (found,) = read(b'{"text": "a\\ud800 b", "spans": [[3, 4, "x"]]}', tmp_path)
    assert (found.words, found.tags) == (["a\ufffd", "b"], ["O", "S-x"])


# --- without labels


def test_labels_are_not_needed_to_predict(tmp_path):
    text = lines({"text": "It's Rosa", "spans": "?"}, {"words": ["a", "b"]})
    assert read(text, tmp_path, labelled=False) == [
        (["It", "'s", "Rosa"], None, f"{tmp_path}/a.conll:1"),
        (["a", "b"], None, f"{tmp_path}/a.conll:2"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "#EU\tNNP\tB-x\nrejects\tVB\tO\n\nit\tPR\tO\n",
        "#EU\nrejects\n\nit\n!\n",
        "# a comment\n#EU\tNN\nrejects\tVB\n\n# id\t2\nit\tPR\n!\tX\n",
        "-DOCSTART- -X- O\n#EU NN B-x\nrejects VB O\n\nit PR O\n! X O\n",
    ],
)
def test_columns_are_known_without_labels(tmp_path, text):
    wanted = [["#EU", "rejects"], ["it", "!"] if "!" in text else ["it"]]
    assert [sentence[:2] for sentence in read(text, tmp_path, labelled=False)] == [(words, None) for words in wanted]


@pytest.mark.parametrize("line", ["Am I", "So do I", "He got a B"])
def test_a_line_that_ends_like_a_tag_is_prose(tmp_path, line):
    assert [sentence.words for sentence in read(line + "\n", tmp_path, labelled=False)] == [line.split()]


def test_a_verse_is_no_table(tmp_path):
    found = read("How do I\nlove thee ?\nLet me count\nthe ways .\n", tmp_path, labelled=False)
    assert [" ".join(sentence.words) for sentence in found] == ["How do I love thee ?", "Let me count the ways ."]


def test_prose_is_cut_into_sentences_with_their_lines(tmp_path):
    text = "Rosa sings. Dr. Who\nlistens.\n\n# He said:\nyes!\nNo\tmore\n\n\n"
    found = read(text, tmp_path, labelled=False, name="a.txt")
    assert [(" ".join(sentence.words), sentence.where[-1]) for sentence in found] == [
        ("Rosa sings .", "1"), ("Dr. Who listens .", "1"), ("# He said : yes !", "4"), ("No more", "6"),
    ]  # fmt: skip
    assert {sentence.tags for sentence in found} == {None}


def test_long_prose_is_read_piece_by_piece(tmp_path, monkeypatch):
    monkeypatch.setattr(tagged.text, "BLOCK", 64)
    text = "He sees it.\nIt sees\nhim. " * 40
    found = read(text, tmp_path, labelled=False, name="a.txt")
    assert [word for sentence in found for word in sentence.words] == tokens.words(text)
    assert len(list(tagged._paragraphs(tmp_path / "a.txt", "utf-8"))) > 10
    lines = text.split("\n")
    assert all(lines[int(sentence.where.rsplit(":")[-1]) - 1].find(sentence.words[0]) >= 0 for sentence in found)


def test_nothing_to_predict_is_nothing_predicted(tmp_path):
    assert read("", tmp_path, labelled=False) == read("\n \n", tmp_path, labelled=False) == []


# --- files


def test_packed_files_and_several(tmp_path):
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"a\tB-x\n"))
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(lines({"text": "Rosa", "spans": [[0, 4, "x"]]}).encode()))
    found = list(tagged.read([tmp_path / "a.gz", tmp_path / "b.jsonl.gz"], None, "utf-8"))
    assert [(sentence.words, sentence.tags) for sentence in found] == [(["a"], ["S-x"]), (["Rosa"], ["S-x"])]


def test_a_file_is_not_held_whole(tmp_path):
    path = tmp_path / "a.conll"
    path.write_text("a\tO\n\n" * 500_000 + "b\n")
    stream = tagged.read([path], None, "utf-8", labelled=False)
    assert next(stream).words == ["a"]  # the fault at the end is far away
