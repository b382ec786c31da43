"""Reading frames: the search against the sum over all ways through them, n-gram automata against dictionaries, ARPA files."""

from __future__ import annotations

import gzip
import itertools
import math
from collections import defaultdict

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_ngram import Slow

from unrolled import backoff, ctc, ngram, spelled
from unrolled.data import arpa
from unrolled.data.vocab import END, Codec
from unrolled.errors import UserError
from unrolled.kernels import ctc as kernel
from unrolled.tasks import language

few = settings(max_examples=40, deadline=None)
seeds = st.integers(0, 2**32 - 1)
SPACE = 1


def frames(seed: int, T: int, V: int, sharp: float = 1.0) -> np.ndarray:
    x = np.random.default_rng(seed).normal(size=(T, V)) * sharp
    return x - np.log(np.exp(x).sum(1, keepdims=True))


def collapsed(path, blank=0):
    return tuple(x for x, _ in itertools.groupby(path) if x != blank)


def all_texts(log_probabilities, blank=0):
    """ln of the summed probability, and the likeliest way, of every text there is."""
    total, best = defaultdict(float), {}
    T, V = log_probabilities.shape
    for path in itertools.product(range(V), repeat=T):
        nats, text = sum(log_probabilities[t, x] for t, x in enumerate(path)), collapsed(path, blank)
        total[text] += math.exp(nats)
        best[text] = max(best.get(text, (-math.inf, ())), (nats, path))
    return {text: math.log(p) for text, p in total.items() if p > 0}, best


def words_of(text):
    return [tuple(word) for inside, word in itertools.groupby(text, lambda x: x != SPACE) if inside]


def same(found, wanted):
    """Every text is found once, in order, with its score."""
    assert {tuple(one.ids) for one in found} == set(wanted) and len(found) == len(wanted)
    np.testing.assert_allclose([one.score for one in found], [wanted[tuple(one.ids)] for one in found], rtol=1e-12, atol=1e-12)
    assert all(a.score >= b.score for a, b in itertools.pairwise(found))


# --- the search


@few
@given(seed=seeds, T=st.integers(0, 5), blank=st.integers(0, 2))
def test_a_wide_beam_finds_every_text_with_its_probability(seed, T, blank):
    x = frames(seed, T, 3)
    wanted, _ = all_texts(x, blank)
    same(ctc.Search(3, blank=blank, width=300, least=None).read(x, 300), wanted)


@few
@given(seed=seeds, weight=st.sampled_from([0.0, 0.7]), insertion=st.sampled_from([-1.0, 0.0, 2.0]))
def test_a_model_of_symbols_and_insertions_count_for_every_text(seed, weight, insertion):
    model = backoff.of_texts([[1, 2, 1], [2, 2], []], 3, 3)
    x = frames(seed, 5, 3)
    nats, _ = all_texts(x)
    wanted = {text: nats[text] + weight * model.nats(text).sum() + insertion * len(text) for text in nats}
    same(ctc.Search(3, width=300, least=None, model=model, weight=weight, insertion=insertion).read(x, 300), wanted)


ARPA = """
\\data\\
ngram 1=5
ngram 2=4
ngram 3=1

\\1-grams:
-1.5\t<unk>
-99\t<s>\t-0.3
-0.8\t</s>
-0.4\taa\t-0.2
-0.9\tb\t-0.5

\\2-grams:
-0.2\t<s> aa\t-0.1
-0.6\taa b
-0.7\tb aa\t0.1
-0.5\tb </s>

\\3-grams:
-0.3\tb aa b

\\end\\
"""


@pytest.fixture(scope="module")
def model_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("arpa") / "words.arpa"
    path.write_text(ARPA)
    return path


def by_dictionary(words):
    """log10 of a sentence under ARPA, by its definition."""
    table = {}
    for line in ARPA.splitlines():
        cells = line.split("\t")
        if len(cells) > 1:
            table[tuple(cells[1].split())] = float(cells[0]), float(cells[2]) if len(cells) > 2 else 0.0

    def of(context, word):
        if (*context, word) in table:
            return table[(*context, word)][0]
        return table.get(context, (0, 0))[1] + of(context[1:], word)

    words = ["<s>", *(word if (word,) in table else "<unk>" for word in words), "</s>"]
    return sum(of(tuple(words[max(0, i - 2) : i]), words[i]) for i in range(1, len(words)))


@few
@given(words=st.lists(st.sampled_from(["aa", "b", "zz"]), max_size=8))
def test_an_arpa_file_says_what_its_lines_say(model_file, words):
    model = arpa.read(model_file)
    ids = [model.words.index(word) if word in model.words else model.unknown for word in words]
    assert model.nats(ids).sum() / math.log(10) == pytest.approx(by_dictionary(words), abs=1e-12)


@few
@given(seed=seeds, weight=st.sampled_from([0.5, 1.5]), insertion=st.sampled_from([-1.0, 0.0, 1.0]))
def test_a_model_of_words_counts_as_each_word_ends(model_file, seed, weight, insertion):
    letters, model = {2: "a", 3: "b"}, arpa.read(model_file)
    x = frames(seed, 5, 4)
    nats, _ = all_texts(x)
    wanted = {}
    for text in nats:
        words = ["".join(letters[i] for i in word) for word in words_of(text)]
        earned = sum(insertion - 3.0 * (word not in ("aa", "b")) for word in words)
        wanted[text] = nats[text] + weight * math.log(10) * by_dictionary(words) + earned
    spelling = [np.array([2, 2]) if word == "aa" else [3] if word == "b" else None for word in model.words]
    settings = {"model": model, "spelling": spelling, "weight": weight, "insertion": insertion, "unknown": -3.0}
    same(ctc.Search(4, space=SPACE, width=1100, least=None, **settings).read(x, 1100), wanted)


@few
@given(seed=seeds, bonus=st.sampled_from([1.5, -1.0]))
def test_hot_phrases_earn_for_each_whole_one_that_stands_in_a_text(seed, bonus):
    x = frames(seed, 5, 4)
    nats, _ = all_texts(x)
    phrases = {((2,), (3,)): 2, ((3, 2),): 2, ((2, 2, 3),): 3}  # 2␣3, 32, 223: their symbols but for blanks
    wanted = {}
    for text in nats:
        borders = [-1, *(i for i, x in enumerate(text) if x == SPACE), len(text)]
        words = [text[a + 1 : b] for a, b in itertools.pairwise(borders)]
        times = {phrase: sum(tuple(words[i : i + len(phrase)]) == phrase for i in range(len(words))) for phrase in phrases}
        wanted[text] = nats[text] + bonus * sum(times[phrase] * phrases[phrase] for phrase in phrases)
    hot = [[2, SPACE, 3], [3, 2], [2, 2, 3]]
    same(ctc.Search(4, space=SPACE, width=1100, least=None, hot=hot, bonus=bonus).read(x, 1100), wanted)


def test_a_hot_phrase_anywhere_in_a_text_without_words():
    x = frames(3, 5, 3)
    nats, _ = all_texts(x)
    wanted = {text: n + 2 * sum(text[i : i + 2] == (1, 2) for i in range(len(text))) for text, n in nats.items()}
    same(ctc.Search(3, width=300, least=None, hot=[[1, 2]]).read(x, 300), wanted)


def test_a_phrase_within_another_earns_what_it_is_worth():
    def worth(text, hot):
        path = [x for symbol in text for x in (symbol, 0)]
        certain = np.where(np.eye(6)[path] > 0, 0.0, -np.inf)
        return ctc.Search(6, space=SPACE, hot=hot).read(certain)[0].score

    new_york, new_york_city, york, new = [2, SPACE, 3], [2, SPACE, 3, SPACE, 4], [3], [2]
    assert worth(new_york, [new_york, new_york_city]) == 2
    assert worth(new_york_city, [new_york, new_york_city]) == 3
    assert worth([*new_york, SPACE, 5], [new_york, new_york_city]) == 2
    assert worth([*new_york, SPACE, 5], [new_york_city]) == 0
    assert worth([*new_york, SPACE, 5], [new_york_city, york]) == 1  # york stands, though the longer one broke off
    assert worth([2, 5], [new]) == 0 and worth([5, 2], [new]) == 0  # within other words
    assert worth([5, SPACE, 2, SPACE, 2], [new]) == 2
    assert worth([SPACE, 2], [[SPACE, 2, SPACE], [], [SPACE]]) == 1  # blanks around a phrase are none of it


@few
@given(seed=seeds, cuts=st.lists(st.integers(0, 200), max_size=6), width=st.sampled_from([1, 2, 5]))
def test_frames_in_blocks_are_read_as_at_once(seed, cuts, width):
    """Long enough for forgotten prefixes to be swept out; scores are equal to the last bit."""
    x = frames(seed, 200, 5, 2.0)
    model = backoff.of_texts([[2, 3, 4, 2], [3, 3, 1, 4]], 5, 3)
    search = ctc.Search(5, space=SPACE, width=width, model=model, hot=[[2, 3]])
    whole = search.push(search.start(), x)
    state = search.start()
    for a, b in itertools.pairwise([0, *sorted(cuts), 200]):
        state = search.push(state, x[a:b])
        assert len(search.best(state, 3, ended=False)) == min(3, state.counts[kernel.OPEN])
    for one, other in zip(search.best(whole, width), search.best(state, width), strict=True):
        assert one.ids.tolist() == other.ids.tolist() and (one.score, one.nats) == (other.score, other.nats)
    for one, other in zip(search.read(x, width), search.best(state, width), strict=True):
        assert one.score == other.score


def counting(model: backoff.Model, symbols: int) -> ctc.Net:
    """A net that is an n-gram model: its state is the text so far as a number; it reads symbol x as x + 1."""

    def step(ids, state):
        (texts,) = state
        texts = np.where(ids == 0, 1, texts * (symbols + 1) + ids)  # 0 begins
        logits = np.full((len(ids), symbols + 2), -50.0)
        for row, text in zip(logits, texts.tolist(), strict=True):
            written = []
            while text > 1:
                text, last = divmod(text, symbols + 1)
                written.insert(0, last - 1)
            row[1:] = [model.nats([*written, x])[len(written)] for x in range(symbols + 1)]
        return logits, (texts,)

    return ctc.Net(step, (np.zeros(1, object),), 0, symbols + 1, np.arange(symbols) + 1)


@settings(max_examples=10, deadline=None)
@given(seed=seeds, weight=st.sampled_from([0.0, 0.7]), width=st.sampled_from([3, 300]))
def test_a_net_counts_as_the_model_that_it_is(seed, weight, width):
    """Whatever stays in the beam, however frames are cut, whatever is forgotten."""
    model, x = backoff.of_texts([[1, 2, 1], [2, 2], []], 3, 3), frames(seed, 5 if width == 300 else 30, 3)
    given = {"width": width, "least": None, "weight": weight, "insertion": 0.3, "hot": [[2, 1]]}
    search = ctc.Search(3, model=counting(model, 3), **given)
    wanted = ctc.Search(3, model=model, **given).read(x, width)
    state = search.start()
    for frame in x:
        state = search.push(state, frame[None])
        kernel.forget(state)
    for found in (search.read(x, width), search.best(state, width)):
        same(found, {tuple(one.ids): one.score for one in wanted})


def test_a_net_without_an_end_counts_the_symbols_alone():
    model, x = backoff.of_texts([[1, 2, 1], [2, 2], []], 3, 3), frames(1, 4, 3)
    nats, _ = all_texts(x)
    wanted = {text: nats[text] + 0.5 * model.nats(text)[:-1].sum() for text in nats}
    net = counting(model, 3)._replace(end=None)
    same(ctc.Search(3, width=300, least=None, model=net, weight=0.5).read(x, 300), wanted)


@torch.no_grad()
def test_a_long_stream_of_a_language_net_forgets_too():
    codec = Codec("characters", " abc\n", records=True)
    net = language.Model(language.Config(hidden=8, layers=2, embedding=4), codec).eval()
    step, state = language.stepper(net, None)
    search = ctc.Search(5, width=4, model=ctc.Net(step, state, codec.start, END, np.array([0, 2, 3, 4, 5])), weight=0.5)
    x = np.concatenate([frames(i, 100, 5, 3.0) for i in range(20)])
    state = search.push(search.start(), x)
    best = search.best(state)[0]
    assert len(state.tree) == len(state.ahead) < 8 * len(best.ids) and len(best.ids) > 500
    alone = ctc.rescore([best._replace(score=best.nats)], step, search.net.state, codec.start, END, 0.5, 0.0, search.net.numbers)
    assert best.score == pytest.approx(alone[0].score, rel=1e-5)


@few
@given(seed=seeds, width=st.sampled_from([2, 4]))
def test_forgetting_what_is_no_longer_open_changes_nothing(seed, width):
    """Also where a prefix comes back that was given up while longer ones stayed."""
    x, search = frames(seed, 80, 3, 0.7), ctc.Search(3, width=width)
    state = search.start()
    for frame in x:
        state = search.push(state, frame[None])
        kernel.forget(state)
    for one, other in zip(search.read(x, width), search.best(state, width), strict=True):
        assert one.ids.tolist() == other.ids.tolist() and one.score == other.score


def test_a_long_stream_keeps_no_more_than_the_text_and_the_beam():
    search = ctc.Search(5, width=4)
    state = search.start()
    for i in range(40):
        state = search.push(state, frames(i, 100, 5, 3.0))
    longest = len(search.best(state)[0].ids)
    assert longest > 1000 and len(state.tree) < 8 * longest and state.counts[kernel.READ] == 4000


def test_many_are_read_as_each_alone():
    search, batch = ctc.Search(5, width=4), [frames(i, 10 * i, 5) for i in range(6)]
    for together, x in zip(search.read_each(batch, 3), batch, strict=True):
        alone = search.read(x, 3)
        assert [(one.ids.tolist(), one.score) for one in together] == [(one.ids.tolist(), one.score) for one in alone]
    assert search.read_each([]) == []


def by_dictionaries(x, width, model, weight, insertion):
    """Prefix beam search as it is written down, prefix by prefix."""
    beam = {(): (0.0, -math.inf)}

    def score(item):
        text, ends = item
        return np.logaddexp(*ends) + weight * model.nats(text)[:-1].sum() + insertion * len(text)

    for frame in x:
        after = defaultdict(lambda: [-math.inf, -math.inf])
        for text, (with_blank, without) in beam.items():
            total = np.logaddexp(with_blank, without)
            after[text][0] = np.logaddexp(after[text][0], total + frame[0])
            if text:
                after[text][1] = np.logaddexp(after[text][1], without + frame[text[-1]])
            for symbol in range(1, len(frame)):
                reached = with_blank if text and text[-1] == symbol else total
                longer = (*text, symbol)
                after[longer][1] = np.logaddexp(after[longer][1], reached + frame[symbol])
        beam = {text: tuple(ends) for text, ends in sorted(after.items(), key=score, reverse=True)[:width]}
    return sorted(((score(item) + weight * model.nats(item[0])[-1], item[0]) for item in beam.items()), reverse=True)


@settings(max_examples=20, deadline=None)
@given(seed=seeds, width=st.sampled_from([1, 3, 8]), insertion=st.sampled_from([0.0, 2.0]))
def test_a_narrow_beam_is_the_one_written_down(seed, width, insertion):
    x, model = frames(seed, 25, 4, 2.0), backoff.of_texts([[1, 2, 3, 1], [3, 3, 2]], 4, 3)
    search = ctc.Search(4, width=width, least=None, model=model, insertion=insertion)
    found, wanted = search.read(x, width), by_dictionaries(x, width, model, 0.5, insertion)
    assert [tuple(one.ids) for one in found] == [text for _, text in wanted]
    np.testing.assert_allclose([one.score for one in found], [score for score, _ in wanted], rtol=1e-11)


def test_unlikely_symbols_and_prefixes_are_given_up():
    x = np.log(np.array([[0.05, 0.9, 0.05], [0.9, 0.05, 0.05], [0.05, 0.05, 0.9]]))
    assert {tuple(one.ids) for one in ctc.Search(3, least=-1.0).read(x, 9)} == {(1, 2), (2,), (1,), ()}
    assert [tuple(one.ids) for one in ctc.Search(3, threshold=1.0).read(x, 9)] == [(1, 2)]
    flat = np.full((3, 3), -math.log(3))  # none is as likely as that, so one alone goes on: the first of equals
    assert {x for one in ctc.Search(3, least=-0.5).read(flat, 9) for x in one.ids} <= {1}


def test_frames_that_allow_nothing_are_passed_over():
    x = np.log(np.array([[0.1, 0.9, 1e-300], [0.1, 0.1, 0.8]]))
    broken = np.concatenate((x[:1], np.full((1, 3), -np.inf), x[1:]))
    assert ctc.Search(3).read(broken)[0].score == ctc.Search(3).read(x)[0].score


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_frames_that_are_no_numbers_are_refused(bad):
    x = frames(0, 4, 3)
    x[2, 1] = bad
    for ask in (spelled.greedy, ctc.Search(3).read, lambda x: ctc.align(x, [1])):
        with pytest.raises(UserError, match="log-probabilities are no numbers"):
            ask(x)


def test_what_does_not_fit_together_is_said(model_file):
    with pytest.raises(UserError, match="log-probabilities have the shape"):
        spelled.greedy(np.zeros(3))
    with pytest.raises(UserError, match="frames of 4 symbols were given to a search over 3"):
        ctc.Search(3).read(frames(0, 2, 4))
    with pytest.raises(UserError, match="a model of words needs to know"):
        ctc.Search(3, model=arpa.read(model_file))
    with pytest.raises(UserError, match="`width` got 0; a beam holds at least 1 prefix"):
        ctc.Search(3, width=0)
    with pytest.raises(UserError, match="a language model has a weight of at least 0"):
        ctc.Search(3, weight=-1.0)


# --- greedy and frames


@few
@given(seed=seeds, T=st.integers(0, 12), blank=st.integers(0, 2))
def test_greedy_reads_runs_of_the_likeliest_symbols(seed, T, blank):
    x = frames(seed, T, 3)
    ids, begins, ends = spelled.greedy(x, blank)
    path = x.argmax(1).tolist() if T else []
    assert tuple(ids) == collapsed(path, blank)
    rebuilt = [blank] * T
    for i, a, b in zip(ids, begins, ends, strict=True):
        rebuilt[a:b] = [i] * (b - a)
    assert rebuilt == path


@few
@given(seed=seeds)
def test_the_frames_of_a_text_are_those_of_its_likeliest_way(seed):
    x = frames(seed, 5, 3)
    _, best = all_texts(x)
    for text, (_, path) in best.items():
        begins, ends = ctc.align(x, text)
        rebuilt = [0] * 5
        for i, a, b in zip(text, begins, ends, strict=True):
            rebuilt[a:b] = [i] * (b - a)
        assert tuple(rebuilt) == path


def test_a_text_longer_than_its_frames_is_refused():
    with pytest.raises(UserError, match="3 frames cannot be read as this text of 3 symbols: it takes 4"):
        ctc.align(frames(0, 3, 3), [1, 1, 2])


def test_words_have_the_frames_of_their_symbols():
    ids = np.array([SPACE, 2, 3, SPACE, SPACE, 4])
    found = spelled.words(ids, np.array([0, 2, 4, 6, 8, 10]), np.array([1, 3, 6, 7, 9, 14]), SPACE)
    assert [(word.ids.tolist(), word.begin, word.end) for word in found] == [([2, 3], 2, 6), ([4], 10, 14)]
    assert spelled.words(ids[:0], ids[:0], ids[:0], SPACE) == []


# --- models


texts = st.lists(st.lists(st.integers(0, 3), max_size=8), min_size=1, max_size=6)


@few
@given(train=texts, text=st.lists(st.integers(0, 3), max_size=8), order=st.integers(1, 4))
def test_an_automaton_is_kneser_ney_over_dictionaries(train, text, order):
    """Each text after an end of its own: `Slow` is told the grams one text at a time."""
    slow = Slow([], 5, order)
    longer = defaultdict(int)
    for one in train:
        padded = [4] * (order - 1) + one + [4]
        for at in range(order - 1, len(padded)):
            longer[tuple(padded[at - order + 1 : at + 1])] += 1
    for length in reversed(range(order)):
        for gram, count in longer.items():
            slow.after[length][gram[:-1]][gram[-1]] = count
        shorter = defaultdict(int)
        for gram in longer:
            shorter[gram[1:]] += 1
        longer = shorter
    padded = [4] * (order - 1) + text + [4]
    wanted = [math.log(slow.probability(padded[at - order + 1 : at], padded[at])) for at in range(order - 1, len(padded))]
    np.testing.assert_allclose(backoff.of_texts(train, 4, order).nats(text), wanted, rtol=1e-12)


def test_an_automaton_of_one_text_is_the_counting_baseline():
    random = np.random.default_rng(0)
    train, asked = (np.minimum(random.zipf(1.5, size), 12) - 1 for size in (3000, 500))
    wanted = ngram.nats(np.append(train, 12), np.append(asked, 12), 13, 4)
    np.testing.assert_allclose(-backoff.of_texts([train], 12, 4).nats(asked), wanted, rtol=1e-12)


def test_texts_are_put_in_order_by_a_net():
    """A step that is an n-gram model: each text's score is the model's."""
    model, x = backoff.of_texts([[1, 2, 1], [2, 2], [1]], 3, 2), frames(1, 6, 3)
    table = np.array([[model.nats([*before, symbol])[len(before)] for symbol in range(4)] for before in ([0], [1], [2], [])])

    def step(ids, state):
        (count,) = state
        assert (count >= 0).all()
        return table[ids], (count + 1,)

    found = ctc.Search(3, width=300, least=None).read(x, 50)
    after = ctc.rescore(found, step, (np.zeros((1, 2)),), first=3, end=3, weight=0.7, insertion=0.3)
    wanted = {tuple(one.ids): one.score + 0.7 * model.nats(one.ids).sum() + 0.3 * len(one.ids) for one in found}
    same(after, wanted)
    turned = np.array([0, 2, 1])  # the frames' 1 is the net's 2
    other = {text: one + 0.7 * (model.nats([turned[x] for x in text]) - model.nats(text)).sum() for text, one in wanted.items()}
    same(ctc.rescore(found, step, (np.zeros((1, 2)),), 3, 3, 0.7, 0.3, turned), other)
    assert ctc.rescore([], step, (np.zeros((1, 2)),), 3, 3, 0.7) == []


@torch.no_grad()
def test_texts_are_put_in_order_by_a_language_net():
    """Side by side through compiled steps as each alone through the net."""
    codec = Codec("characters", " abc\n", records=True)
    net = language.Model(language.Config(hidden=16, layers=2, embedding=8), codec).eval()
    x = frames(2, 20, codec.size)
    x[:, END] = -np.inf  # the frames' blank is the codec's unknown, which no text holds
    found = ctc.Search(codec.size, width=8).read(x, 8)
    wanted = {}
    for one in found:
        state, nats = net.start(1), 0.0
        for before, symbol in itertools.pairwise([codec.start, *one.ids, END]):
            logits, state = net.step(torch.tensor([int(before)]), state)
            nats += float(torch.log_softmax(logits.double(), 1)[0, int(symbol)])
        wanted[tuple(one.ids)] = one.score + nats
    after = ctc.rescore(found, *language.stepper(net, None), codec.start, END, 1.0)
    np.testing.assert_allclose([one.score for one in after], sorted(wanted.values(), reverse=True), rtol=1e-6)
    assert all(wanted[tuple(one.ids)] == pytest.approx(one.score, rel=1e-6) for one in after)


# --- ARPA files


def test_a_packed_arpa_file_is_read_too(tmp_path, model_file):
    path = tmp_path / "words.arpa.gz"
    path.write_bytes(gzip.compress(ARPA.encode()))
    assert arpa.read(path).nats([3, 4]).tolist() == arpa.read(model_file).nats([3, 4]).tolist()


@pytest.mark.parametrize(
    ("old", "new", "message", "line"),
    [
        ("-0.6\taa b", "-0.6\taa c", "`c` is not among the 1-grams", 16),
        ("-0.6\taa b", "-0.6\taa b -1 x", "a line of 2-grams has 3 or 4 cells; this one has 5", 16),
        ("-0.6\taa b", "x\taa b", "`x` is no number", 16),
        ("-0.6\taa b", "nan\taa b", "`nan` is no number", 16),
        ("-0.6\taa b", "0.6\taa b", "`0.6` is the logarithm of no probability", 16),
        ("-0.3\tb aa b", "-0.3\taa aa b", "an n-gram without the shorter one", 21),
        ("ngram 2=4", "ngram 2=5", "4 2-grams stand here, and the head speaks of 5", 20),
        ("ngram 2=4", "ngram zwei", "is no line of an ARPA file's head", 4),
        ("\\end\\", "", "the file is cut off: it ends within its 3-grams", None),
        ("\\data\\", "data", "is no ARPA file: its head is missing", None),
        ("</s>", "</S>x", "the model has no `</s>`, which ends a sentence", None),
    ],
)
def test_a_file_that_is_none_is_refused_with_its_line(tmp_path, old, new, message, line):
    path = tmp_path / "bad.arpa"
    path.write_text(ARPA.replace(old, new))
    with pytest.raises(UserError) as raised:
        arpa.read(path)
    assert message in raised.value.what and (line is None or raised.value.where == f"{path}:{line}")


def test_a_word_that_a_file_without_unknown_does_not_know_is_unlikely(tmp_path):
    path = tmp_path / "closed.arpa"
    path.write_text(ARPA.replace("-1.5\t<unk>\n", "").replace("1=5", "1=4"))
    assert arpa.read(path).nats([-1])[0] == pytest.approx(arpa.UNSEEN - 0.3 * math.log(10))
