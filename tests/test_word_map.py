"""The map of words: layout and measures against scikit-learn, scipy and the formulas; the page's own code under node."""

import base64
import json
import re
import shutil
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("openTSNE", reason="needs the plot extra")
pytest.importorskip("matplotlib", reason="needs the plot extra")

from unrolled import word_map, word_page
from unrolled.config import build
from unrolled.errors import MISSING_EXTRA, UserError
from unrolled.progress import Progress

QUIET = Progress(quiet=True)
HOSTILE = "</script><img src=x onerror=alert(1)>"


class Vectors(SimpleNamespace):
    def __len__(self):
        return len(self.words)


def vectors(count=60, width=8, seed=0, words=None):
    matrix = np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32)
    return Vectors(words=words or [f"w{i}" for i in range(count)], matrix=matrix)


def bunches(sizes=(30, 20, 10), width=8, seed=0):
    """Vectors around directions at right angles, and the number of each one's bunch."""
    bunch = np.repeat(np.arange(len(sizes)), sizes)
    matrix = np.eye(width)[bunch] + 0.15 * np.random.default_rng(seed).normal(size=(len(bunch), width))
    order = np.random.default_rng(seed).permutation(len(bunch))
    return Vectors(words=[f"w{i}" for i in range(len(bunch))], matrix=matrix[order].astype(np.float32)), bunch[order]


def unit(count=60, width=8, seed=0):
    matrix = np.random.default_rng(seed).normal(size=(count, width))
    return matrix / np.linalg.norm(matrix, axis=1, keepdims=True)


def make(tmp_path, of, **options):
    return word_map.make(of, build(word_map.Options, options), tmp_path, QUIET)


def choose(of, **options):
    return word_map.choose(of, build(word_map.Options, options), QUIET)


# --- layout


@pytest.mark.parametrize("block", [1, 7 * 60, 1 << 22])
def test_nearest_words_are_those_of_a_full_sort(block, monkeypatch):
    monkeypatch.setattr(word_map, "BLOCK", block)
    of = unit()
    near, similarity = word_map.nearest(of, 12)
    cosine = of @ of.T
    np.fill_diagonal(cosine, -2)
    assert (near == np.argsort(-cosine, axis=1)[:, :12]).all()
    assert np.allclose(similarity, -np.sort(-cosine, axis=1)[:, :12], atol=1e-6)


def affinities(of, perplexity):
    """P (N, N) as the paper writes it (its equations 1 and 12), each row's width found by scipy."""
    from scipy.optimize import brentq

    squared = 2 - 2 * of @ of.T
    P = np.zeros_like(squared)
    for i in range(len(of)):
        others = np.arange(len(of)) != i

        def row(precision, d=squared[i, others]):
            p = np.exp(-precision * (d - d.min()))
            return p / p.sum()

        def too_wide(precision, row=row):
            p = row(precision)
            return -(p * np.log(np.maximum(p, 1e-300))).sum() - np.log(perplexity)

        P[i, others] = row(brentq(too_wide, 1e-3, 1e4))
    return (P + P.T) / (2 * len(of))


def divergence(P, positions):
    apart = ((positions[:, None] - positions[None]) ** 2).sum(2)
    Q = 1 / (1 + apart)
    np.fill_diagonal(Q, 0)
    Q /= Q.sum()
    return (P[P > 0] * np.log(P[P > 0] / Q[P > 0])).sum()


def test_the_divergence_told_is_that_of_the_map_and_far_below_the_starts():
    of = unit(40, 5)
    near, similarity = word_map.nearest(of, 39)
    positions, told = word_map.lay_out(of, near, similarity, 13.0, 1, QUIET)
    P = affinities(of, 13.0)
    assert told == pytest.approx(divergence(P, positions), rel=1e-3)
    assert told < 0.7 * divergence(P, word_map.start(of, 1))


def test_the_start_is_along_the_two_main_axes_and_small():
    of = unit()
    centred = of - of.mean(0)
    left, values, _ = np.linalg.svd(centred)
    wanted = left[:, :2] * values[:2]
    got = word_map.start(of, 1)
    assert np.allclose(np.abs(got / got[:, 0].std()), np.abs(wanted / wanted[:, 0].std()), atol=0.06)  # 1 % is noise
    assert got[:, 0].std() == pytest.approx(1e-4, rel=0.02)


def test_the_start_of_vectors_with_one_number_lies_in_a_plane_and_no_two_are_alike():
    got = word_map.start(np.array([[1.0], [-1.0], [1.0], [1.0]]), 1)
    assert got.shape == (4, 2) and len(np.unique(got, axis=0)) == 4


# --- measures


@pytest.mark.parametrize("k", [1, 5, 10])
def test_trustworthiness_is_scikit_learns(k):
    manifold = pytest.importorskip("sklearn.manifold")
    of = unit(120, 8, seed=k)
    for spread in (0.0, 1.0):  # a good map and a bad one
        positions = of[:, :2] + spread * np.random.default_rng(k).normal(size=(120, 2))
        got = word_map.trustworthiness(of, word_map.nearest_on_map(positions, k))
        wanted = manifold.trustworthiness(of, positions, n_neighbors=k, metric="cosine")
        assert got == pytest.approx(wanted, abs=1e-9) and 0.3 < got < 0.999


def test_overlap_is_the_share_of_true_neighbours_found():
    of, positions = unit(50), np.random.default_rng(1).normal(size=(50, 2))
    near, _ = word_map.nearest(of, 20)
    apart = ((positions[:, None] - positions[None]) ** 2).sum(2)
    np.fill_diagonal(apart, np.inf)
    shares = [len(set(np.argsort(apart[i])[:10]) & set(near[i, :10])) / 10 for i in range(50)]
    measures = word_map.measure(of, near, positions)
    assert measures["neighbour_overlap"] == pytest.approx(np.mean(shares)) and measures["neighbours"] == 10


def test_a_map_that_is_the_truth_keeps_all():
    angle = np.sort(np.random.default_rng(0).uniform(0, 2 * np.pi, 40))
    circle = np.column_stack((np.cos(angle), np.sin(angle)))
    measures = word_map.measure(circle, word_map.nearest(circle, 10)[0], circle)
    assert measures["trustworthiness"] == 1 and measures["neighbour_overlap"] == 1


def test_points_on_one_spot_are_neighbours_of_each_other_not_of_themselves():
    found = word_map.nearest_on_map(np.zeros((30, 2)), 4)
    assert found.shape == (30, 4) and not (found == np.arange(30)[:, None]).any()


# --- clusters


def test_clusters_are_the_bunches_the_largest_first():
    of, bunch = bunches()
    assert (word_map.clusters(choose(of).unit, 3, seed=5) == bunch).all()


def test_there_are_no_more_clusters_than_different_vectors():
    of = np.repeat(np.eye(2, dtype=np.float32), (4, 3), axis=0)
    assert word_map.clusters(of, 5, seed=1).tolist() == [0, 0, 0, 0, 1, 1, 1]


def test_a_cluster_is_named_by_its_three_most_frequent_words():
    of, bunch = bunches()
    groups, names, _ = word_map.grouped(choose(of), build(word_map.Options, {"clusters": 3}))
    assert names == [", ".join(f"w{i}" for i in np.flatnonzero(bunch == number)[:3]) for number in range(3)]
    assert (groups == bunch).all()


def test_without_colours_there_is_one_group_without_a_name():
    groups, names, _ = word_map.grouped(choose(vectors()), build(word_map.Options, {"colour": "none"}))
    assert not groups.any() and names == []


# --- which words


def test_the_most_frequent_words_are_shown_and_no_more_than_there_are():
    of = vectors(50)
    assert choose(of, words=7).words == of.words[:7]
    shown = choose(of, words=1000)
    assert shown.words == of.words
    assert np.allclose(shown.unit, of.matrix / np.linalg.norm(of.matrix, axis=1, keepdims=True), atol=1e-6)


def test_a_list_chooses_words_and_groups_and_what_has_no_vector_is_told(tmp_path, capsys):
    path = tmp_path / "list.txt"
    path.write_text("\ufeffw9\tanimal\r\nw3\tplant\n\nnothing\tplant\nw5\nw3\tanimal\n", encoding="utf-8")
    shown = word_map.choose(vectors(), build(word_map.Options, {"only": str(path)}), Progress())
    assert shown.words == ["w3", "w5", "w9"] and shown.groups == ["plant", None, "animal"]
    assert "without a vector: `nothing`" in capsys.readouterr().err
    groups, names, _ = word_map.grouped(shown, word_map.Options())
    assert [names[group] for group in groups] == ["plant", "no group", "animal"]


def test_a_list_without_groups_is_coloured_by_clusters(tmp_path):
    path = tmp_path / "list.txt"
    path.write_text("w1\nw2\nw3\n")
    assert choose(vectors(), only=str(path)).groups is None


@pytest.mark.parametrize(
    ("content", "what", "where"),
    [
        (b"w1\nw2\ta\tb\n", "has 3 columns; it is a word, or a word, a tab and its group", "list.txt:2"),
        (b"w1\n\xff", "is not UTF-8 text", "list.txt: byte 3"),
        (b"", "a map needs at least 3 words with vectors; there are 0", None),
        (b"w1\nw2\nw2\n", "a map needs at least 3 words with vectors; there are 2", None),
    ],
)
def test_a_list_that_will_not_do_says_where(tmp_path, content, what, where):
    path = tmp_path / "list.txt"
    path.write_bytes(content)
    with pytest.raises(UserError, match=re.escape(what)) as caught:
        choose(vectors(), only=str(path))
    assert (caught.value.where or "").endswith(where or "")


def test_a_list_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UserError, match=r"cannot go on reading `.*list.txt`: no such file"):
        choose(vectors(), only=str(tmp_path / "list.txt"))


def test_words_with_a_zero_vector_are_left_out_and_told(capsys):
    of = vectors()
    of.matrix[[2, 5]] = 0
    shown = word_map.choose(of, word_map.Options(), Progress())
    assert len(shown.words) == 58 and not {"w2", "w5"} & set(shown.words)
    assert "left out, since their vectors are zero: `w2`, `w5`" in capsys.readouterr().err


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_vectors_that_are_no_numbers_are_refused_by_name(value):
    of = vectors()
    of.matrix[3, 1] = value
    with pytest.raises(UserError, match="these words' vectors hold what is no number: `w3`"):
        choose(of)


@pytest.mark.parametrize("matrix", [np.ones((60, 8)) * np.arange(1, 61)[:, None], np.eye(60)], ids=["one", "at right angles"])
def test_vectors_without_any_nearness_are_refused(tmp_path, matrix):
    of = Vectors(words=vectors(60).words, matrix=matrix.astype(np.float32))
    with pytest.raises(UserError, match="each of these 60 words is as near to every other: there is nothing to map"):
        make(tmp_path, of)


def test_very_large_and_very_small_vectors_have_a_direction_too():
    of = vectors()
    wanted = choose(of).unit
    of.matrix[::2] *= 1e37
    of.matrix[1::2] *= 1e-37
    assert np.allclose(choose(of).unit, wanted, atol=1e-6)


@pytest.mark.parametrize("count", [1, 2])
def test_one_word_or_two_are_no_map(tmp_path, count):
    with pytest.raises(UserError, match=f"a map needs at least 3 words with vectors; there are {count}"):
        make(tmp_path, vectors(count))
    assert list(tmp_path.iterdir()) == []


# --- the whole


def rows(path):
    return [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]


def data_of(path):
    """What a page holds, read back as a browser would."""
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', path.read_text(), re.S)[1])


def test_a_map_is_three_files_and_figures(tmp_path):
    of, bunch = bunches()
    figures = make(tmp_path / "new", of, clusters=3)
    assert figures["paths"] == [str(tmp_path / "new" / name) for name in ("map.png", "map.html", "map.tsv")]
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["map.html", "map.png", "map.tsv"]
    table = rows(tmp_path / "new" / "map.tsv")
    assert table[0] == ["word", "x", "y", "cluster"] and [row[0] for row in table[1:]] == of.words
    positions = np.array([row[1:3] for row in table[1:]], float)
    wanted = word_map.measure(choose(of).unit, word_map.nearest(choose(of).unit, 59)[0], positions)
    assert {name: figures[name] for name in wanted} == pytest.approx(wanted)
    assert figures["words"] == 60 and figures["perplexity"] == pytest.approx(59 / 3) and figures["kl_divergence"] > 0
    others = bunch[word_map.nearest_on_map(positions, 1)[:, 0]]
    assert (others == bunch).mean() > 0.95  # bunches stay together in the picture
    assert figures["trustworthiness"] > 0.75


def test_a_seed_gives_the_same_files_and_another_seed_other_ones(tmp_path):
    of = vectors()
    for name, seed in (("one", 1), ("same", 1), ("other", 2)):
        make(tmp_path / name, of, seed=seed)
    contents = {name: [path.read_bytes() for path in sorted((tmp_path / name).iterdir())] for name in ("one", "same", "other")}
    assert contents["one"] == contents["same"]
    assert all(a != b for a, b in zip(contents["one"], contents["other"], strict=True))


@pytest.mark.parametrize(("count", "perplexity"), [(3, 1), (4, 1), (10, 3)])
def test_few_words_make_a_map_and_the_lower_perplexity_is_told(tmp_path, capsys, count, perplexity):
    figures = word_map.make(vectors(count), word_map.Options(), tmp_path)
    assert figures["perplexity"] == perplexity
    assert f"perplexity {perplexity}, not 30: {count} words allow no more" in capsys.readouterr().err
    positions = np.array([row[1:3] for row in rows(tmp_path / "map.tsv")[1:]], float)
    assert np.isfinite(positions).all() and len(np.unique(positions, axis=0)) == count
    assert 0 <= figures["trustworthiness"] <= 1 and figures["neighbours"] == max(1, (count - 1) // 2)


def test_words_with_the_same_vector_lie_beside_each_other(tmp_path):
    of = vectors(60)
    of.matrix[30:] = of.matrix[:30]
    make(tmp_path, of, perplexity=5)
    positions = np.array([row[1:3] for row in rows(tmp_path / "map.tsv")[1:]], float)
    apart = np.linalg.norm(positions[30:] - positions[:30], axis=1)
    assert np.isfinite(positions).all() and np.median(apart) < 0.1 * np.ptp(positions, axis=0).max()


def test_the_folder_can_be_another(tmp_path):
    figures = make(tmp_path / "vectors", vectors(10), out=str(tmp_path / "deep" / "maps"))
    assert (tmp_path / "deep" / "maps" / "map.png").exists() and not (tmp_path / "vectors").exists()
    assert figures["paths"][0] == str(tmp_path / "deep" / "maps" / "map.png")


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot go on making the folder `.*file`"):
        make(tmp_path / "file", vectors(10))


@pytest.mark.parametrize("package", ["openTSNE", "matplotlib"])
def test_a_missing_package_is_named_before_any_work(tmp_path, monkeypatch, package):
    for name in [name for name in sys.modules if name.split(".")[0] == package or name == "unrolled.plot"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr(sys.modules["unrolled"], "plot", raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match=f"a map needs the package `{package}`") as caught:
        word_map.make(None, word_map.Options(), tmp_path)
    assert caught.value.code == MISSING_EXTRA and caught.value.fix == "pip install 'unrolled[plot]'"


# --- the page and the table


WORDS = [
    "plain",
    HOSTILE,
    "<!--<script>",
    "]]>",
    "&lt;",
    "\u2028",
    "tab\tline\nback\\",
    "猫",
    "قط",
    "🐈",
    "\udcff",
    '"',
    "@DATA@",
]


def test_words_are_data_in_the_page_and_the_table(tmp_path):
    make(tmp_path, vectors(len(WORDS), words=WORDS), clusters=2)
    page = (tmp_path / "map.html").read_text(encoding="ascii", errors="surrogateescape")
    template = word_page.TEMPLATE.read_text()
    assert {mark: page.count(mark) for mark in MARKS} == {mark: template.count(mark) for mark in MARKS}
    assert data_of(tmp_path / "map.html")["words"] == WORDS
    table = (tmp_path / "map.tsv").read_bytes().decode("utf-8", "surrogateescape").split("\n")
    assert len(table) == len(WORDS) + 2 and [len(line.split("\t")) for line in table[:-1]] == [4] * (len(WORDS) + 1)
    assert table[7].startswith("tab\\tline\\nback\\\\\t") and table[11].startswith("\udcff\t")


MARKS = ("</script", "<script", "<img", "<!--")


@given(st.text(st.characters()))
def test_no_text_gets_out_of_its_script_element(text):
    written = word_page.script_json([text])
    assert json.loads(written) == [text] and written.isascii() and not set("<>&") & set(written)


def test_the_page_asks_for_nothing_and_makes_no_html_of_text():
    template = word_page.TEMPLATE.read_text()
    assert re.findall(r"\w+://[^\s\"]+", template) == ["http://www.w3.org/2000/svg"]  # a name, never fetched
    assert "default-src 'none'" in template
    for risk in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "new Function",
        " src=",
        "<link",
        "@import",
    ):
        assert risk not in template, risk


def unpacked(values, kind, *shape):
    return np.frombuffer(base64.b64decode(values), kind).reshape(shape)


def test_the_page_holds_the_vectors_neighbours_and_places(tmp_path):
    of = vectors(60, 24)
    make(tmp_path, of, clusters=4)
    data, shown = data_of(tmp_path / "map.html"), choose(of)
    whole = unpacked(data["vectors"], "i1", 60, data["width"]).astype(float)
    whole /= np.linalg.norm(whole, axis=1, keepdims=True)
    assert np.abs(whole @ whole.T - shown.unit @ shown.unit.T).max() < 0.01
    near, similarity = word_map.nearest(shown.unit, 10)
    assert (unpacked(data["near"], "<u4", 60, 10) == near).all()
    assert np.abs(unpacked(data["similarity"], "<i2", 60, 10) / 32767 - similarity).max() < 1e-4
    table = rows(tmp_path / "map.tsv")[1:]
    places, positions = unpacked(data["positions"], "<u2", 60, 2) / 65535, np.array([row[1:3] for row in table], float)
    assert np.allclose((places - places[0]) * np.ptp(positions, axis=0).max(), (positions - positions[0]) * (1, -1), atol=1e-2)
    groups = unpacked(data["groups"], "<u2", 60)
    assert [data["names"][group] for group in groups] == [row[3] for row in table]


# --- the page's own code


needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed: the page's code is not run")


def node(code, **values):
    """What the page's functions answer: `code` is the body of a function of `values`."""
    logic = re.search(r'<script id="logic">(.*?)</script>', word_page.TEMPLATE.read_text(), re.S)[1]
    program = f"{logic}\nconst given = {json.dumps(values)};\nconsole.log(JSON.stringify((() => {{ {code} }})()));"
    return json.loads(subprocess.run(["node", "-"], input=program, capture_output=True, text=True, check=True).stdout)


VOCABULARY = ["king", "man", "woman", "x-ray", "new york", "-", "c++", "constructor"]


@needs_node
@pytest.mark.parametrize(
    ("question", "wanted"),
    [
        ("king - man + woman", [[1, "king"], [-1, "man"], [1, "woman"]]),
        ("king-man+woman", [[1, "king"], [-1, "man"], [1, "woman"]]),
        ("  -man +King ", [[-1, "man"], [1, "king"]]),
        ("king − man – woman", [[1, "king"], [-1, "man"], [-1, "woman"]]),
        ("x-ray + new york - c++", [[1, "x-ray"], [1, "new york"], [-1, "c++"]]),
        ("constructor", [[1, "constructor"]]),
        ("king + + man", [[1, "king"], [1, "man"]]),
        ("king - grblx + frob", "not among the words of this map: grblx, frob"),
        ("king man", "not among the words of this map: king man"),
        ("toString", "not among the words of this map: toString"),
        ("", "write words with + and - between them"),
        ("+", "write words with + and - between them"),
    ],
)
def test_a_question_is_read(question, wanted):
    got = node("return parse(given.question, new Map(given.words.map((w, i) => [w, i])))", question=question, words=VOCABULARY)
    terms = [[sign, VOCABULARY[i]] for sign, i in got["terms"]] if "terms" in got else got["error"]
    assert terms == wanted


@needs_node
def test_the_answer_is_the_word_nearest_to_the_sum_of_unit_vectors(tmp_path):
    make(tmp_path, vectors(60, 24), clusters=4)
    data = data_of(tmp_path / "map.html")
    whole = unpacked(data["vectors"], "i1", 60, 24).astype(float)
    whole /= np.linalg.norm(whole, axis=1, keepdims=True)
    target = whole[3] - whole[7] + whole[11]
    cosine = whole @ target / np.linalg.norm(target)
    cosine[[3, 7, 11]] = -2
    wanted = np.argsort(-cosine)[:10]
    got = node("return solve([[1, 3], [-1, 7], [1, 11]], unpack(given.data).vectors, 10)", data=data)
    assert [i for i, _ in got] == wanted.tolist()
    assert np.allclose([score for _, score in got], cosine[wanted], atol=1e-5)
    assert node("return solve([[1, 3], [-1, 3]], unpack(given.data).vectors, 10)", data=data) == []
    assert node("const m = unpack(given.data); return [m.positions.length, m.near.length, m.groups.length]", data=data) == [
        120,
        600,
        60,
    ]


@needs_node
def test_suggestions_are_words_that_begin_with_the_text_then_those_that_hold_it():
    words = ["making", "kingdom", "King", "working", "queen"]
    assert node("return suggest(given.text, given.words, 3)", text=" kin", words=words) == [1, 2, 0]
    assert node("return suggest(given.text, given.words, 3)", text="king", words=words) == [2, 1, 0]
    assert node("return suggest(given.text, given.words, 3)", text=" ", words=words) == []


@needs_node
def test_labels_of_the_page_do_not_meet():
    boxes = np.random.default_rng(0).uniform(0, 400, (300, 2))
    boxes = np.hstack((boxes, boxes + np.random.default_rng(1).uniform(5, 90, (300, 2)))).tolist()
    kept = []
    for box in boxes:
        if all(box[0] >= o[2] or o[0] >= box[2] or box[1] >= o[3] or o[1] >= box[3] for o in kept):
            kept.append(box)
    assert node("const free = room(60); return given.boxes.filter((box) => free(box))", boxes=boxes) == kept
