"""Words and vectors: the mapping, neighbours, analogies and evaluation, held to numpy written out, gensim and scipy."""

import math
import string

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unrolled import UserError, Vectors, evaluation
from unrolled import vectors as module
from unrolled.data.subwords import Subwords, ngrams
from unrolled.kernels import nearest as kernel
from unrolled.vectors import MANY, UnknownWord, highest

WORDS = ["the", "king", "queen", "man", "woman", "Paris", "paris", "france", "rome", "italy"]
few = settings(max_examples=60, deadline=None)


def vectors(count: int = 10, size: int = 6, seed: int = 0, words: list[str] | None = None) -> Vectors:
    rows = np.random.default_rng(seed).standard_normal((count, size)).astype(np.float32)
    return Vectors(words or WORDS[:count] + [f"w{i}" for i in range(count - len(WORDS))], rows)


def cosines(v: Vectors, vector: np.ndarray) -> np.ndarray:
    """In float64, written out."""
    m = v.matrix.astype(float)
    return m @ vector / np.sqrt((m * m).sum(1) * (vector @ vector))


def ranked(v: Vectors, scores: np.ndarray, without: list[str]) -> list[str]:
    return [v.words[i] for i in np.argsort(-scores) if v.words[i] not in without]


# --- the mapping


def test_vectors_are_a_mapping_in_the_order_of_the_words():
    v = vectors()
    assert list(v) == WORDS and len(v) == 10 and "king" in v and "kong" not in v and 3 not in v
    np.testing.assert_array_equal(v["queen"], v.matrix[2])
    assert v.get("kong") is None
    assert {word: row.tolist() for word, row in v.items()} == dict(zip(WORDS, v.matrix.tolist(), strict=True))
    assert repr(v) == "Vectors(10 words, 6 dimensions, float32)"
    assert v == v and v != vectors()
    assert np.shares_memory(v["queen"], v.matrix)


def test_other_kinds_of_numbers_become_float32_and_float16_stays():
    rows = np.arange(6).reshape(2, 3)
    assert Vectors(["a", "b"], rows).matrix.dtype == np.float32
    assert Vectors(["a", "b"], rows.astype(">f4")).matrix.dtype.isnative
    assert Vectors(["a", "b"], rows.astype(np.float16)).matrix.dtype == np.float16


def test_a_word_that_is_not_known_is_a_key_error_with_spellings():
    v = vectors(words=["the", "king", "kings", "kin", "queen", "Paris", "a", "b", "c", "d"])
    for typed, hint in [
        ("kng", "did you mean `king`?"),
        ("knig", "did you mean `king`?"),
        ("kingz", "did you mean `king` or `kings`?"),
        ("PARIS", "did you mean `Paris`?"),
        ("queeeeen", "did you mean `queen`?"),
        ("xyzzy", None),
        ("x" * 10_000, None),
    ]:
        with pytest.raises(UnknownWord, match=f"`{typed}` is not among the 10 words") as caught:
            v[typed]
        assert caught.value.fix == hint
        assert isinstance(caught.value, KeyError) and isinstance(caught.value, UserError)


def test_the_first_words_looked_up_among_millions_need_no_index():
    words = [f"w{i}" for i in range(MANY)]
    v = Vectors(words, np.lib.stride_tricks.as_strided(np.ones(1, np.float32), (MANY, 1), (0, 0)))
    assert "w7" in v and "v7" not in v and "index" not in vars(v)
    assert [f"w{i}" in v for i in range(30)] == [True] * 30 and "index" in vars(v)


def test_matrix_and_words_must_fit():
    for words, shape in [(["a"], (2, 3)), (["a", "b"], (2,))]:
        with pytest.raises(UserError, match="words need a matrix of as many rows; got shape"):
            Vectors(words, np.zeros(shape))
    with pytest.raises(UserError, match="the word `a` stands twice: in rows 0 and 2"):
        Vectors(["a", "b", "a"], np.zeros((3, 2)))["a"]


def test_one_hot_is_the_identity_and_stores_two_numbers_a_word():
    v = Vectors.one_hot(WORDS)
    np.testing.assert_array_equal(v.matrix, np.eye(10))
    assert v.similarity("king", "king") == 1 and v.similarity("king", "queen") == 0
    assert {n.similarity for n in v.nearest("king", 20)} == {0.0}
    large = Vectors.one_hot([str(i) for i in range(50_000)])
    assert large["7"].sum() == large["7"][7] == 1
    with pytest.raises(UserError, match="one-hot vectors need at least one word"):
        Vectors.one_hot([])


# --- subwords


def by_fasttext(word: str, shortest: int, longest: int, buckets: int) -> list[int]:
    """Dictionary::computeSubwords and hash of fastText, word for word, on whole n-grams."""
    marked, found = f"<{word}>", []
    for i in range(len(marked)):
        for n in range(1, longest + 1):
            j = i + n
            if j > len(marked) or n < shortest or (n == 1 and (i == 0 or j == len(marked))):
                continue
            h = 2166136261
            for signed in np.frombuffer(marked[i:j].encode(), np.int8).tolist():
                h = ((h ^ (signed % 2**32)) * 16777619) % 2**32
            found.append(h % buckets)
    return found


@few
@given(
    word=st.text(st.sampled_from("abcéß日🎉<> -"), max_size=8),
    shortest=st.integers(1, 5),
    more=st.integers(0, 4),
    buckets=st.sampled_from([1, 7, 2000, 2_000_000]),
)
def test_subwords_are_fasttexts(word, shortest, more, buckets):
    assert ngrams(word, shortest, shortest + more, buckets) == by_fasttext(word, shortest, shortest + more, buckets)


def test_subwords_are_those_gensim_finds():
    fasttext = pytest.importorskip("gensim.models.fasttext")
    for word in ("where", "naïve", "日本", "a"):
        assert ngrams(word, 3, 6, 2_000_000) == list(fasttext.ft_ngram_hashes(word, 3, 6, 2_000_000))


def test_a_word_never_seen_gets_the_mean_of_its_subwords():
    rows = np.random.default_rng(3).standard_normal((50, 6)).astype(np.float32)
    v = Vectors(WORDS, vectors().matrix, subwords=Subwords(rows, 3, 4))
    np.testing.assert_allclose(v["kingdom"], np.mean([rows[i] for i in by_fasttext("kingdom", 3, 4, 50)], 0), rtol=1e-5)
    assert "kingdom" not in v
    np.testing.assert_array_equal(v["king"], v.matrix[1])
    assert len(v.nearest("kingdom", 20)) == 10
    with pytest.raises(UnknownWord, match="`` is not among"):
        v[""]


# --- neighbours


@few
@given(seed=st.integers(0, 99), number=st.integers(1, 12), among=st.none() | st.integers(1, 12))
def test_nearest_is_the_order_of_cosines(seed, number, among):
    v = vectors(seed=seed)
    wanted = cosines(v, v.matrix[1].astype(float))
    order = [word for word in ranked(v, wanted, ["king"]) if word in v.words[:among]]
    found = v.nearest("king", number, among)
    assert [n.word for n in found] == order[:number]
    np.testing.assert_allclose([n.similarity for n in found], [wanted[v.words.index(n.word)] for n in found], atol=1e-6)


def test_a_vector_has_the_word_itself_among_its_neighbours():
    v = vectors()
    assert v.nearest(3 * v["king"], 1) == [("king", pytest.approx(1))]
    assert v.nearest("king", 0) == v.nearest("king", -1) == []


def test_what_has_no_neighbours_says_why():
    v = vectors()
    with pytest.raises(UserError, match=r"a vector of shape \(5,\) has no neighbours among vectors of 6 dimensions"):
        v.nearest(np.ones(5))
    with pytest.raises(UserError, match="a vector of zeros has no direction"):
        v.nearest(np.zeros(6))


def test_a_vector_of_zeros_is_similar_to_nothing_and_one_of_nan_is_named():
    v = vectors()
    v.matrix[4] = 0
    assert v.similarity("woman", "king") == 0
    assert dict(v.nearest("king", 9))["woman"] == 0
    for wrong in (np.nan, np.inf, 1e30):
        v = vectors()
        v.matrix[4] = [1, 1, wrong, -wrong, 1, 1]
        for number in (1, 9):
            with pytest.raises(UserError, match="the vector of `woman` holds nan, infinity or numbers too large to square"):
                v.nearest(-v["king"] * 0 + 1, number)


@few
@given(count=st.integers(1, 3000), number=st.integers(0, 40), seed=st.integers(0, 99))
def test_the_highest_scores_are_found_in_order(count, number, seed):
    scores = np.random.default_rng(seed).permutation(count).astype(np.float32)
    assert highest(scores, number) == np.argsort(-scores)[:number].tolist()


def test_a_large_matrix_is_dealt_out_to_threads():
    v = vectors(30_000, 50)  # 6 MB
    wanted = cosines(v, v["w20000"].astype(float))
    assert [n.word for n in v.nearest("w20000", 5)] == ranked(v, wanted, ["w20000"])[:5]


def products(matrix: np.ndarray, vector: np.ndarray | None) -> None:
    m = matrix.astype(float)
    wanted = (m * m).sum(1) if vector is None else m @ vector
    np.testing.assert_allclose(module._products(matrix, vector), wanted, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("compiled", [0, 1 << 30], ids=["compiled", "by numpy"])
def test_products_of_float16_are_those_of_float64(monkeypatch, compiled):
    monkeypatch.setattr(module, "COMPILED", compiled)
    random = np.random.default_rng(0)
    for size in (1, kernel.LANES - 1, kernel.LANES, kernel.LANES + 1, 3 * kernel.LANES - 1, 100, 300):
        m, x = random.standard_normal((1000, size)).astype(np.float16), random.standard_normal(size).astype(np.float32)
        for matrix, vector in ((m, x), (m, None), (m[::2], x)):
            products(matrix, vector)
    m = random.standard_normal((30_000, 80)).astype(np.float16)  # large enough for threads
    products(m, m[9].astype(np.float32))


def test_compiled_loops_take_rows_of_a_register_that_lie_side_by_side(monkeypatch):
    wide = np.zeros((4, kernel.LANES), np.float16)
    monkeypatch.setattr(kernel, "CONVERTS", True)
    assert kernel.fits(wide) and not kernel.fits(wide[:, 1:]) and not kernel.fits(wide[:, ::2]) and not kernel.fits(wide[::2])
    monkeypatch.setattr(kernel, "CONVERTS", False)
    assert not kernel.fits(wide)


def test_half_finds_the_neighbours_of_its_rounded_vectors():
    half = vectors(400, 40).half()
    assert half.matrix.dtype == np.float16
    wanted = cosines(half, half["king"].astype(float))
    assert [n.word for n in half.nearest("king", 8)] == ranked(half, wanted, ["king"])[:8]
    with pytest.raises(UserError, match="the vector of `b` has numbers above 65,504, the largest of float16"):
        Vectors(["a", "b"], np.array([[1.0], [1e5]])).half()


@pytest.mark.parametrize("among", [0, -1])
def test_among_is_at_least_one(among):
    v = vectors()
    for ask in (lambda: v.nearest("king", among=among), lambda: v.analogy("man", "king", "woman", among=among)):
        with pytest.raises(UserError, match=f"`among` got `{among}`; allowed is at least 1, or None for all words"):
            ask()


# --- analogies


def analogy_by_hand(v: Vectors, a: str, b: str, c: str, method: str) -> np.ndarray:
    u = v.matrix.astype(float)
    u /= np.linalg.norm(u, axis=1, keepdims=True)
    to = {word: u @ u[v.words.index(word)] for word in (a, b, c)}
    if method == "add":
        target = u[v.words.index(b)] - u[v.words.index(a)] + u[v.words.index(c)]
        return u @ target / np.linalg.norm(target)
    p = {word: (1 + cosine) / 2 for word, cosine in to.items()}
    return p[b] * p[c] / (p[a] + 0.001)


@pytest.mark.parametrize("method", ["add", "multiply"])
def test_analogies_are_the_formulas_and_leave_the_question_out(method):
    for seed in range(20):
        v = vectors(seed=seed)
        wanted = analogy_by_hand(v, "man", "king", "woman", method)
        found = v.analogy("man", "king", "woman", 4, method)
        assert [n.word for n in found] == ranked(v, wanted, ["man", "king", "woman"])[:4]
        np.testing.assert_allclose([n.similarity for n in found], [wanted[v.words.index(n.word)] for n in found], rtol=1e-4)
    assert {n.word for n in v.analogy("man", "king", "woman", 9, method, among=4)} == {"the", "queen"}
    with pytest.raises(UserError, match="`method` got `divide`; allowed are add, multiply"):
        v.analogy("man", "king", "woman", method="divide")


def test_most_similar_is_gensims():
    models = pytest.importorskip("gensim.models")
    v = vectors(300, 12)
    theirs = models.KeyedVectors(12)
    theirs.add_vectors(v.words, v.matrix)
    for positive, negative in [(["king", "woman"], ["man"]), ("king", []), ([], ["man", "the"]), (["rome"], "italy")]:
        wanted = theirs.most_similar(positive=positive, negative=negative, topn=7)
        found = v.most_similar(positive, negative, 7)
        assert [n.word for n in found] == [word for word, _ in wanted]
        np.testing.assert_allclose([n.similarity for n in found], [s for _, s in wanted], atol=1e-5)
    with pytest.raises(UserError, match="`most_similar` needs a word"):
        v.most_similar()


# --- evaluation


def spread(path, text: str):
    path.write_text(text)
    return path


def grid(seed: int) -> tuple[Vectors, str]:
    """Stems in forms, a third of the words in capitals too, and questions whose answers noise makes wrong now and then."""
    random = np.random.default_rng(seed)
    stems, forms = random.standard_normal((20, 8)), random.standard_normal((5, 8))
    places = [(i, j) for i in range(20) for j in range(5)]
    words = [f"{string.ascii_lowercase[i]}stem{j}" for i, j in places]
    rows = [stems[i] + forms[j] for i, j in places]
    words, rows = words + [word.title() for word in words[::3]], np.stack(rows + rows[::3])
    order = random.permutation(len(words))
    rows = (rows + 0.5 * random.standard_normal(rows.shape)).astype(np.float32)
    lines = []
    for section in ("kin", "gram1-plural", "gram2-past"):
        lines.append(f": {section}")
        for _ in range(60):
            (a, b), (i, j) = random.choice(20, 2, replace=False), random.choice(5, 2, replace=False)
            lines.append(" ".join(f"{string.ascii_uppercase[s]}stem{f}" for s, f in ((a, i), (a, j), (b, i), (b, j))))
    lines += [": unknown", "astem1 missing bstem1 bstem2"]
    return Vectors([words[i] for i in order], rows[order]), "\n".join(lines) + "\n"


@pytest.mark.parametrize("seed", range(3))
def test_analogies_are_counted_as_gensim_counts_them(tmp_path, seed):
    models = pytest.importorskip("gensim.models")
    v, text = grid(seed)
    theirs = models.KeyedVectors(8)
    theirs.add_vectors(v.words, v.matrix)
    path = spread(tmp_path / "questions.txt", text)
    _, sections = theirs.evaluate_word_analogies(str(path), restrict_vocab=110, case_insensitive=True)
    wanted = {s["section"]: (len(s["correct"]), len(s["correct"]) + len(s["incorrect"])) for s in sections}
    (found,) = v.evaluate(path, among=110)
    assert {s.section: (s.right, s.covered) for s in [*found.sections, found.total._replace(section="Total accuracy")]} == wanted
    assert 0.1 < found.total.accuracy < 0.9 and found.total.covered < found.total.asked == 181
    assert found.sections[3][1:] == (0, 0, 1, None, None, None)


@pytest.mark.parametrize("method", ["add", "multiply"])
def test_solving_many_analogies_is_solving_one_after_another(monkeypatch, method):
    monkeypatch.setattr(evaluation, "COLUMNS", 7)
    monkeypatch.setattr(evaluation, "QUESTIONS", 5)
    v, random = vectors(40, 5), np.random.default_rng(1)
    questions = np.stack([random.choice(40, 3, replace=False) for _ in range(33)])
    banned = np.array([(i, place) for i, question in enumerate(questions) for place in question])
    found = evaluation.solve(v.matrix, questions, banned, method)
    wanted = [v.analogy(*(v.words[i] for i in question), 1, method)[0].word for question in questions]
    assert [v.words[i] for i in found] == wanted


def test_sections_are_summed_by_kind(tmp_path):
    v = vectors(words=["a", "b", "c", "d", *"efghij"])
    v.matrix[:4] = np.eye(6)[0], np.eye(6)[1], np.eye(6)[0] + np.eye(6)[2], np.eye(6)[1] + np.eye(6)[2]
    v.matrix[4:] = -1
    text = "# a comment\n: first\nA B C D\nA B C E\nx B C D\n\n: gram1\nA B C D\n"
    (found,) = v.evaluate([spread(tmp_path / "q", text)], among=None)
    assert [(s.section, s.right, s.covered, s.asked) for s in found.sections] == [("first", 1, 2, 3), ("gram1", 1, 1, 1)]
    assert [(s.section, s.right, s.asked) for s in (found.semantic, found.syntactic, found.total)] == [
        ("semantic", 1, 3), ("syntactic", 1, 1), ("total", 2, 4),
    ]  # fmt: skip
    assert (found.total.accuracy, found.among, found.method) == (2 / 3, 10, "add")
    (found,) = v.evaluate([spread(tmp_path / "q", ": one\nA B C D\n")])
    assert found.semantic is None and found.syntactic is None


@few
@given(count=st.integers(1, 5000), share=st.floats(0, 1))
def test_wilsons_interval_solves_his_equation(count, share):
    right = round(share * count)
    for bound in evaluation.wilson(right, count):  # |p - p̂| = z √(p (1 - p) / n)
        assert abs(bound - right / count) == pytest.approx(1.959964 * math.sqrt(bound * (1 - bound) / count), abs=1e-6)


@few
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=3, max_size=30))
def test_spearman_is_scipys(pairs):
    stats = pytest.importorskip("scipy.stats")
    x, y = np.array(pairs, float).T
    if min(len(set(x)), len(set(y))) == 1:
        assert evaluation.spearman(x, y) is None
    else:
        assert evaluation.spearman(x, y) == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)


def test_the_interval_of_a_rank_correlation_is_bonett_and_wrights():
    # z = artanh 0.6 = 0.693147; its standard error √((1 + 0.18) / 97) = 0.110294
    assert evaluation.interval(0.6, 100) == pytest.approx(
        (math.tanh(0.693147 - 0.216173), math.tanh(0.693147 + 0.216173)), abs=1e-5
    )
    assert evaluation.interval(1.0, 50) == (1.0, 1.0)


@pytest.mark.parametrize("between", ["\t", ",", " ", ", "])
def test_pairs_are_compared_with_peoples_numbers(tmp_path, between):
    v = vectors()
    pairs = [("king", "queen", 9), ("Man", "woman", 8.5), ("rome", "ITALY", 3), ("the", "france", 1), ("king", "missing", 4)]
    head = between.join(("Word 1", "Word 2", "Human"))
    text = "# from somewhere\n" + (head.replace("d ", "d") + "\n") + "".join(between.join(map(str, p)) + "\n" for p in pairs)
    (found,) = v.evaluate(spread(tmp_path / "pairs", text))
    stats = pytest.importorskip("scipy.stats")
    similar = [v.similarity(a.lower(), b.lower()) for a, b, _ in pairs[:4]]
    assert found.spearman == pytest.approx(stats.spearmanr(similar, [9, 8.5, 3, 1]).statistic)
    assert (found.covered, found.pairs) == (4, 5)
    assert found.low < found.spearman < found.high


def test_a_word_in_several_capitals_is_its_most_frequent_form(tmp_path):
    v = vectors()  # `Paris` stands before `paris`
    text = "".join(f"paris {word} {i}\n" for i, word in enumerate(WORDS[:5]))
    (found,) = v.evaluate(spread(tmp_path / "pairs", text))
    stats = pytest.importorskip("scipy.stats")
    assert found.spearman == pytest.approx(stats.spearmanr([v.similarity("Paris", w) for w in WORDS[:5]], range(5)).statistic)


def test_three_pairs_are_too_few_and_equal_numbers_have_no_order(tmp_path):
    few_pairs = "king queen 1\nman woman 2\nrome italy 3\n"
    (found,) = vectors().evaluate(spread(tmp_path / "few", few_pairs))
    assert found[1:] == (None, None, None, 3, 3)
    (found,) = vectors().evaluate(spread(tmp_path / "same", "king queen 1\nman woman 1\nrome italy 1\nthe man 1\n"))
    assert found[1:] == (None, None, None, 4, 4)


@pytest.mark.parametrize(
    ("text", "message", "where"),
    [
        ("", "` is empty", ""),
        ("# nothing\n\n", "` is empty", ""),
        (": s\na b c d\na b c\n", "`a b c` is 3 words; a question is 4: a is to b as c is to d", ":3"),
        ("a b 1\na b\n", "`a b` is not a pair: two words and a number are needed", ":2"),
        ("a b 1\na b x\n", "`a b x` is not a pair", ":2"),
        ("a b nan\na b nan\n", "`a b nan` is not a pair", ":2"),
        ("a\n", "`a` is not a pair", ":1"),
    ],
)
def test_bad_evaluation_files_are_named_with_their_line(tmp_path, text, message, where):
    path = spread(tmp_path / "set.txt", text)
    with pytest.raises(UserError, match=message) as caught:
        vectors().evaluate(path)
    assert caught.value.where == f"{path}{where}"


def test_questions_without_a_section_are_told_how_one_begins(tmp_path):
    with pytest.raises(UserError, match="is not a pair") as caught:
        vectors().evaluate(spread(tmp_path / "q", "word1 word2 number\nAthens Greece Rome Italy\n"))
    assert caught.value.fix == "analogies begin with a line `: section`"


def test_evaluation_files_that_cannot_be_read_are_named(tmp_path):
    (tmp_path / "questions.txt").write_bytes(b": s\nAthens Gr\xe8ce Rome Italy\n")
    with pytest.raises(UserError, match=r"byte 13 of `.*questions.txt` is not UTF-8"):
        vectors().evaluate(tmp_path / "questions.txt")
    with pytest.raises(UserError, match="`--method` got `divide`"):
        vectors().evaluate(tmp_path / "questions.txt", method="divide")
    with pytest.raises(UserError, match="does not exist") as caught:
        vectors().evaluate(tmp_path / "question.txt")
    assert caught.value.fix == "did you mean `questions.txt`?"
