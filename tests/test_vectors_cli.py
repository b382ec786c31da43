"""`unrolled vectors …` as a person meets it: tables, JSON, notes, and one message where something is wrong."""

import json
import re
import subprocess
import sys
from typing import NamedTuple

import numpy as np
import pytest

from unrolled import Vectors, cli

WORDS = ["the", "king", "queen", "man", "woman", "paris", "France", "rome", "italy"]
ROWS = np.array(
    [
        [0, 0, 0, 1],
        [1, 1, 0, 0],
        [1, 0, 1, 0],
        [0, 1, 0, 0],
        [0, 0, 1, 0],
        [3, 0, 0, 1],
        [0, 3, 0, 1],
        [3, 1, 0, -1],
        [0, 3, 1, -1],
    ],
    np.float32,
)
QUESTIONS = ": royal\nMan King Woman Queen\nking queen man woman\n: gram1\nman woman king missing\nman woman king queen\n"
PAIRS = "king\tqueen\t8\nman\twoman\t7\nparis\tqueen\t3\nthe\trome\t1\nthe\tmissing\t2\n"


class Said(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def say(capsys, monkeypatch, tmp_path):
    """Runs `unrolled vectors …` in a folder with words.txt, questions.txt and pairs.tsv."""
    monkeypatch.chdir(tmp_path)
    Vectors(WORDS, ROWS).save("words.txt")
    (tmp_path / "questions.txt").write_text(QUESTIONS)
    (tmp_path / "pairs.tsv").write_text(PAIRS)

    def call(line: str) -> Said:
        capsys.readouterr()
        return Said(cli.run(["vectors", *line.split()]), *capsys.readouterr())

    return call


def objects(out: str) -> list[dict]:
    return [json.loads(line) for line in out.splitlines()]


def test_nearest_prints_a_table_or_json(say):
    said = say("nearest words.txt king --number 2")
    assert said == (0, "word  similarity\nrome  0.8528\nman   0.7071\n", "")
    found = objects(say("nearest words.txt king --json --among 5").out)
    assert [each["word"] for each in found] == ["man", "queen", "the", "woman"]
    assert [each["similarity"] for each in found] == pytest.approx([0.5**0.5, 0.5, 0, 0], abs=1e-6)


def test_another_capitalisation_is_taken_with_a_note(say):
    said = say("nearest words.txt KING --number 1")
    assert said.out.splitlines()[1].startswith("rome") and said.err == "note: `KING` is not among the words; `king` is\n"
    said = say("analogy words.txt Man king WOMAN --number 1")
    assert said.err == "note: `Man` is not among the words; `man` is\nnote: `WOMAN` is not among the words; `woman` is\n"
    assert say("nearest words.txt france --number 1").err == "note: `france` is not among the words; `France` is\n"


def test_an_analogy_shows_why_its_answers_won(say):
    said = say("analogy words.txt man king woman --number 1")
    assert said.out.splitlines()[0].split("  ") == ["word", " similarity", "to king", "to woman", "to man"]
    assert said.out.splitlines()[1].split() == ["queen", "0.9586", "0.5000", "0.7071", "0.0000"]
    (found,) = objects(say("analogy words.txt man king woman --number 1 --json --method multiply").out)
    p = [(1 + cosine) / 2 for cosine in (0.5, 0.5**0.5, 0)]
    assert found == {"word": "queen", "similarity": pytest.approx(p[0] * p[1] / (p[2] + 0.001)), "to_b": pytest.approx(0.5),
                     "to_c": pytest.approx(0.5**0.5), "to_a": 0}  # fmt: skip


def test_evaluate_prints_every_section_and_every_file(say):
    said = say("evaluate words.txt questions.txt pairs.tsv")
    lines = said.out.splitlines()
    assert lines[0] == "questions.txt: analogies, answers among the 9 most frequent words, by 3CosAdd"
    assert [line.split()[:5] for line in lines[2:7]] == [
        ["royal", "2", "2", "2", "100.0"], ["gram1", "1", "1", "2", "100.0"], ["semantic", "2", "2", "2", "100.0"],
        ["syntactic", "1", "1", "2", "100.0"], ["total", "3", "3", "4", "100.0"],
    ]  # fmt: skip
    assert lines[7] == "pairs.tsv: how cosines rank pairs of words, against people"
    assert lines[9].split()[:2] == ["4", "5"]
    found = objects(say("evaluate words.txt questions.txt pairs.tsv --json --among 5 --method multiply").out)
    assert found[0] == {"file": "questions.txt", "section": "royal", "right": 2, "covered": 2, "asked": 2, "accuracy": 1.0,
                        "low": pytest.approx(2 / (2 + 1.959964**2)), "high": 1.0}  # fmt: skip
    assert found[-1].keys() == {"file", "spearman", "low", "high", "covered", "pairs"}
    assert "the 5 most frequent words, by 3CosMul" in say("evaluate words.txt questions.txt --among 5 --method multiply").out


def test_convert_says_what_it_wrote(say, tmp_path):
    assert say("convert words.txt out.bin") == (0, "file        out.bin\nwords       9\ndimensions  4\nleft_out    0\n", "")
    assert objects(say("convert out.bin half.npy --half --json").out) == [
        {"file": "half.npy", "words": 9, "dimensions": 4, "left_out": 0}
    ]
    assert Vectors.open("half.npy").matrix.tolist() == ROWS.tolist()
    with open("words.txt", "a") as file:
        file.write("the 1 2 3 4\n")
    said = say("convert words.txt mended.txt --mend")
    assert said.out.endswith("left_out    2\n")
    assert said.err.startswith("note: left out: the word `the` stands twice: here and in line 2 (words.txt:11)\n")


def test_map_is_made_beside_the_vectors(say, monkeypatch, tmp_path):
    word_map = pytest.importorskip("unrolled.word_map")
    made = {}

    def make(vectors, options, folder, progress=None):
        made.update(words=len(vectors), options=options, folder=folder)
        return {"words": 5, "trustworthiness": 0.9, "paths": ["map.png", "map.html"]}

    monkeypatch.setattr(word_map, "make", make)
    assert (
        say("map words.txt --words 5").out == "words            5\ntrustworthiness  0.9000\npaths            map.png  map.html\n"
    )
    assert (made["words"], made["options"], str(made["folder"])) == (9, word_map.Options(words=5), ".")
    assert objects(say("map words.txt --json").out) == [{"words": 5, "trustworthiness": 0.9, "paths": ["map.png", "map.html"]}]


WRONG = [
    ("nearest words.txt kng", "`kng` is not among the 9 words\n  next:  did you mean `king`?"),
    ("nearest words.txt zyx", "`zyx` is not among the 9 words\n$"),
    ("analogy words.txt man king womann", "`womann` is not among the 9 words\n  next:  did you mean `woman`?"),
    ("analogy words.txt man king", "Missing argument 'C'.\n  next:  `unrolled vectors analogy --help` shows how"),
    ("nearest word.txt king", "`word.txt` does not exist\n  next:  did you mean `words.txt`?"),
    ("nearest . king", "`.` is not a run folder: it has no config.json"),
    ("nearest pairs.tsv king", "`pairs.tsv` is not a file of word vectors\n  where: pairs.tsv\n  next:  known are word2vec text"),
    ("nearest words.txt king --number 0", "`--number` got `0`; allowed is at least 1"),
    (
        "nearest words.txt king --numbr 3",
        "`--numbr` is not an option of `unrolled vectors nearest`\n  next:  did you mean `--number`?",
    ),
    ("analogy words.txt man king woman --method mul", "`--method` got `mul`; allowed are add, multiply"),
    ("nearst words.txt king", "`nearst` is not a verb; known are nearest, .*\n  next:  did you mean `nearest`?"),
    ("evaluate words.txt", "Missing argument 'FILE…'"),
    ("evaluate words.txt words.txt", "`9 4` is not a pair: two words and a number are needed\n  where: words.txt:1"),
    ("evaluate words.txt question.txt", "`question.txt` does not exist\n  next:  did you mean `questions.txt`?"),
    ("convert words.txt pairs.tsv", "the suffix of `pairs.tsv` says no format"),
    ("convert words.txt words.txt", "`words.txt` is already there\n  next:  name another file, or remove that one first"),
]


@pytest.mark.parametrize(("line", "message"), WRONG, ids=[line for line, _ in WRONG])
def test_a_mistake_is_one_message(say, line, message):
    said = say(line)
    assert (said.code, said.out) == (2, "")
    assert re.match("error: " + re.sub(r"([.?()])(?!\*)", r"\\\1", message), said.err), said.err
    assert "Traceback" not in said.err


def test_help_names_the_verbs(say):
    said = say("")
    assert said.code == 2 and all(verb in said.err for verb in cli.VECTOR_VERBS)
    assert "nearest" in say("--help").out and "--among" in say("nearest --help").out


def test_questions_need_neither_torch_nor_numba(say):
    Vectors(WORDS, ROWS).save("words.npy")
    code = (
        "import sys\nfrom unrolled import cli\n"
        "assert cli.run('vectors nearest words.npy king'.split()) == 0\n"
        "assert cli.run('vectors evaluate words.txt questions.txt'.split()) == 0\n"
        "assert not {'torch', 'numba', 'scipy'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=100)
