"""word2vec's loops against the same thing written out in numpy, and what the three outputs have in common."""

import heapq
import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unrolled import word2vec
from unrolled.kernels import tree
from unrolled.kernels import word2vec as kernel
from unrolled.kernels.rows import OUTPUTS, TILE
from unrolled.word2vec import Settings, Word2vec, aligned_zeros, row_size

SETTINGS = Settings(
    dimensions=12, cbow=False, output="negatives", window=3, negatives=4, sample=None, rate=0.1, epochs=2, seed=3, threads=1,
    shortest=None, longest=None, buckets=50, keep_context=True,
)  # fmt: skip


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def random_work(random, changed, words=9, length=400):
    """A text of few words, sentences among them, and rows that are not zero."""
    ids = random.integers(0, words, length).astype(np.int32)
    ids[random.random(length) < 0.1] = -1
    counts = np.sort(np.bincount(ids[ids >= 0], minlength=words))[::-1] + 1
    names = ["word", "wordy", "sword", "ab", "ba", "é日", "x", "words", "wo"][:words]
    work = Word2vec(names, counts.astype(np.int64), ids, SETTINGS._replace(**changed))
    rows, theta = work.x.reshape(-1, work.size), work.y.reshape(-1, work.size)
    rows[:, :12] = random.normal(size=(len(rows), 12)) * 0.5
    theta[:words, :12] = random.normal(size=(words, 12)) * 0.5
    work.begin_epoch(0)
    return work


# --- the whole loop, written out


class Reference:
    """word2vec in float64, a word at a time; the same random numbers, none of the tiles."""

    def __init__(self, work, begin, end, seed, rates):
        self.work, self.rates, self.state = work, rates, seed
        self.x, self.y = (a.reshape(-1, work.size).astype(np.float64) for a in (work.x, work.y))
        self.text, self.place = work.ids[begin:end], None
        self.loss, self.pairs = 0.0, 0

    def draw(self):
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
        return self.state >> 33

    def run(self):
        settings, n = self.work.settings, len(self.text)
        self.place = self.draw() % max(1, len(self.work.pool) - 2 * self.work.outputs)
        at = 0
        while at < n:
            rate = self.rates[0] + (self.rates[1] - self.rates[0]) * at / n
            sentence = []
            while at < n and len(sentence) < kernel.SENTENCE:
                word = int(self.text[at])
                at += 1
                if word < 0 and sentence:
                    break
                if word >= 0 and self.work.keep[word] > self.draw():
                    sentence.append(word)
            self.sentence(sentence, settings, rate)

    def sentence(self, words, settings, rate):
        whole, window = settings.shortest is None, settings.window
        composed, before = [], []
        for i, target in enumerate(words):
            for word in words[len(composed) : i + window + 1]:
                composed.append(self.x[self.rows_of(word)].mean(0))
                before.append(composed[-1].copy())
            outputs = self.outputs(target)
            around = window - self.draw() % window
            near = [j for j in range(max(0, i - around), min(len(words), i + around + 1)) if j != i]
            vectors = [self.x[words[j]] if whole else composed[j] for j in near]
            if near and settings.cbow:
                mean = np.mean(vectors, 0)
                moved = self.learn([mean.copy()], outputs, target, rate)[0] - mean
                for v in vectors:
                    v += moved
            elif near:
                for first in range(0, len(vectors), kernel.AT_ONCE):
                    self.learn(vectors[first : first + kernel.AT_ONCE], outputs, target, rate)
            if not whole and i >= window:
                self.leave(words[i - window], composed[i - window], before[i - window])
        for i in range(max(0, len(words) - window), 0 if whole else len(words)):
            self.leave(words[i], composed[i], before[i])

    def leave(self, word, now, then):
        for row in self.rows_of(word):
            self.x[row] += now - then

    def rows_of(self, word):
        starts, rows = self.work.pieces_of_words
        return rows[starts[word] : starts[word + 1]] if len(rows) else [word]

    def outputs(self, target):
        """[(row of θ, label, how often it counts)]; the softmax has no labels."""
        work = self.work
        if work.kind == kernel.SOFTMAX:
            return [(w, None, 1) for w in range(work.words)]
        if work.kind == kernel.TREE:
            starts, nodes, turns = work.tree
            return [(int(nodes[i]), 1 - turns[i], 1) for i in range(starts[target], starts[target + 1])]
        if self.place + 2 * work.outputs > len(work.pool):
            self.place = 0
        drawn = [int(w) for w in work.pool[self.place : self.place + work.outputs]]
        self.place += work.outputs
        found, unused = [(target, 1.0, 1)], (work.words, 0.0, 0)
        for i, word in enumerate(drawn):
            new = word != target and word not in drawn[:i]
            found.append((word, 0.0, drawn.count(word)) if new else unused)
        return found

    def learn(self, vectors, outputs, target, rate):
        """Slopes of all inputs first, then the steps, two inputs at a time (one, where both are the same row)."""
        rows = [row for row, _, _ in outputs]
        f = np.array(vectors) @ self.y[rows].T
        if outputs[0][1] is None:
            p = np.exp(f - f.max(1, keepdims=True))
            p /= p.sum(1, keepdims=True)
            g = (np.eye(len(rows))[target] - p) * rate
            self.loss -= np.log(p[:, target]).sum()
        else:
            labels, weights = (np.array([o[k] for o in outputs]) for k in (1, 2))
            g = (labels - sigmoid(f)) * weights * rate
            self.loss -= (weights * np.log(sigmoid(np.where(labels > 0, f, -f)))).sum()
        self.pairs += len(vectors)
        for first in range(0, len(vectors), 2):
            pair = range(first, min(first + 2, len(vectors)))
            if len(pair) == 2 and vectors[first].base is not None and np.shares_memory(vectors[first], vectors[first + 1]):
                steps = [[first], [first + 1]]
            else:
                steps = [list(pair)]
            for begin in range(0, len(rows), OUTPUTS):
                chosen = slice(begin, begin + OUTPUTS)
                for step in steps:
                    x, y = np.array([vectors[i] for i in step]), self.y[rows[chosen]]
                    for i in step:
                        vectors[i] += g[i, chosen] @ y
                    self.y[rows[chosen]] = y + g[step][:, chosen].T @ x
        return vectors


WAYS = [
    {"output": "negatives"},
    {"output": "negatives", "negatives": 11},
    {"output": "tree"},
    {"output": "softmax"},
    {"output": "negatives", "cbow": True},
    {"output": "tree", "cbow": True},
    {"output": "softmax", "cbow": True},
    {"output": "negatives", "shortest": 2, "longest": 3},
    {"output": "softmax", "shortest": 2, "longest": 3, "cbow": True},
    {"output": "negatives", "sample": 0.05, "window": 7},
]


@pytest.mark.parametrize("changed", WAYS, ids=lambda way: " ".join(map(str, way.values())))
def test_a_piece_of_text_moves_the_rows_as_written_out(changed):
    random = np.random.default_rng(1)
    work = random_work(random, changed)
    reference = Reference(work, 0, 300, 77, (0.1, 0.05))
    reference.run()
    _, counted, loss = work._train(work.ids, 0, 300, 0, 77, (0.1, 0.05))
    x, y = (a.reshape(-1, work.size) for a in (work.x, work.y))
    assert np.abs(x - reference.x).max() < 2e-4
    assert np.abs(y - reference.y).max() < 2e-4
    assert (
        np.abs(reference.x[:, :12] - random_work(np.random.default_rng(1), changed).x.reshape(-1, work.size)[:, :12]).max() > 0.05
    )
    if work.kind == kernel.SOFTMAX:  # there each loss is counted
        assert counted == reference.pairs
        assert loss == pytest.approx(reference.loss, rel=1e-4)


@pytest.mark.parametrize("changed", WAYS[:7], ids=lambda way: " ".join(map(str, way.values())))
def test_without_a_rate_nothing_moves_and_every_loss_is_counted(changed):
    work = random_work(np.random.default_rng(2), changed)
    before = work.x.copy(), work.y.copy()
    reference = Reference(work, 0, 300, 5, (0.0, 0.0))
    reference.run()
    _, counted, loss = work._train(work.ids, 0, 300, 0, 5, (0.0, 0.0))
    assert (work.x == before[0]).all() and (work.y == before[1]).all()
    assert counted == reference.pairs
    assert loss == pytest.approx(reference.loss, rel=1e-4)


def test_a_run_resumed_at_its_end_is_measured_as_it_was_there():
    ids = np.random.default_rng(1).integers(0, 5, 3000).astype(np.int32)
    works = [Word2vec(list("abcde"), np.bincount(ids), ids, SETTINGS) for _ in range(2)]
    for work in works:
        work.start()
    works[0].begin_epoch(SETTINGS.epochs - 1)
    found = [work.measures() for work in works]
    assert found[0] == found[1] and 2 < found[0]["nats_per_pair"] < 5 * math.log(2) + 0.01


# --- its parts


@given(st.integers(1, 9), st.integers(1, 3), st.integers(1, 4), st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_meeting_is_a_matrix_product(inputs, groups, lines, seed):
    random, size = np.random.default_rng(seed), row_size(1) * lines
    x, y = aligned_zeros(12 * size), aligned_zeros(20 * size)
    x[:], y[:] = random.normal(size=x.shape), random.normal(size=y.shape)
    ins, outs = random.integers(0, 12, inputs) * size, random.integers(0, 20, groups * OUTPUTS) * size
    f = np.full((inputs + 1) // 2 * groups * TILE, np.nan, np.float32)
    none = np.zeros(groups * TILE, np.float32)
    kernel.meet(x, ins, 0, inputs, y, outs, groups, f, size, none, none)
    wanted = x.reshape(12, size)[ins // size] @ y.reshape(20, size)[outs // size].T
    for r in range(inputs):
        for q in range(groups * OUTPUTS):
            at = (r // 2 * groups + q // OUTPUTS) * TILE + r % 2 * OUTPUTS + q % OUTPUTS
            assert f[at] == pytest.approx(wanted[r, q], abs=1e-4)


@given(st.lists(st.integers(0, 10**6), min_size=2, max_size=60))
@settings(deadline=None)
def test_the_tree_is_huffmans(counts):
    counts = np.sort(np.array(counts, np.int64) + 1)[::-1]
    (starts, nodes, turns), longest = tree.build(counts)
    ways = [tuple(zip(nodes[a:b], turns[a:b], strict=True)) for a, b in pairwise(starts)]
    assert max(map(len, ways)) == longest
    heap = list(counts.tolist())
    heapq.heapify(heap)
    cost = 0
    while len(heap) > 1:
        joined = heapq.heappop(heap) + heapq.heappop(heap)
        cost += joined
        heapq.heappush(heap, joined)
    assert sum(n * len(way) for n, way in zip(counts.tolist(), ways, strict=True)) == cost
    # chances down the tree add up to 1, whatever is thought at each node
    chance = np.random.default_rng(0).random(len(counts))
    total = sum(math.prod(chance[node] if turn else 1 - chance[node] for node, turn in way) for way in ways)
    assert total == pytest.approx(1)


def test_negatives_are_drawn_in_proportion_and_in_random_order():
    shares = np.array([5.0, 3.0, 1.0, 0.5, 0.5])
    pool = np.zeros(100_000, np.int32)
    kernel.fill(pool, np.cumsum(shares), np.uint64(9))
    assert np.abs(np.bincount(pool) / len(pool) - shares / shares.sum()).max() < 1e-4
    follows = np.bincount(pool[1:][pool[:-1] == 0], minlength=5) / (pool[:-1] == 0).sum()
    assert np.abs(follows - shares / shares.sum()).max() < 0.01


def test_frequent_words_are_read_as_often_as_the_formula_says():
    counts = np.array([900_000, 90_000, 900], np.int64)
    share = counts / counts.sum()
    wanted = np.minimum(1, np.sqrt(1e-3 / share) + 1e-3 / share)
    assert word2vec.kept(counts, 1e-3) / 2**31 == pytest.approx(wanted)
    assert (word2vec.kept(counts, None) > 2**31 - 1).all()


@pytest.mark.parametrize("output", ["negatives", "tree", "softmax"])
def test_counts_alone_reach_the_floor_that_is_reported(output):
    """Vectors that are zero but for one number can say p(t) and no more; the best of them has the floor's loss."""
    words, length = 6, 60_000
    random = np.random.default_rng(4)
    p = np.array([0.4, 0.25, 0.15, 0.1, 0.06, 0.04])
    ids = random.choice(words, length, p=p).astype(np.int32)
    counts = np.bincount(ids, minlength=words).astype(np.int64)
    chosen = SETTINGS._replace(output=output, negatives=3)
    work = Word2vec([f"w{i}" for i in range(words)], counts, ids, chosen)
    work.begin_epoch(0)
    work.x.reshape(-1, work.size)[:, 0] = 1.0
    theta = work.y.reshape(-1, work.size)
    if output == "negatives":
        q = counts**0.75 / (counts**0.75).sum()
        p = counts / counts.sum()
        theta[:words, 0] = np.log(p / (3 * q * (1 - p)))
    elif output == "softmax":
        theta[:words, 0] = np.log(counts / counts.sum())
    else:
        starts, nodes, turns = work.tree
        left, both = np.zeros(words - 1), np.zeros(words - 1)
        for word in range(words):
            for i in range(starts[word], starts[word + 1]):
                left[nodes[i]] += counts[word] * (turns[i] == 0)
                both[nodes[i]] += counts[word]
        theta[: words - 1, 0] = np.log(left / (both - left))
    work.held_out = ids
    assert work.measures()["nats_per_pair"] == pytest.approx(word2vec.of_counts_alone(counts, ids, chosen), rel=0.01)


# --- what is learned


@pytest.mark.parametrize("changed", WAYS[:9], ids=lambda way: " ".join(map(str, way.values())))
def test_words_used_alike_become_alike(changed):
    """Two groups of words that never meet; every way of computing the softmax finds them, as the exact one does."""
    random = np.random.default_rng(5)
    groups = [["cat", "dog", "cow", "pig"], ["one", "two", "six", "ten"]]
    names = groups[0] + groups[1]
    lines = [4 * (n % 2) + random.integers(0, 4, 12) for n in range(1500)]
    ids = np.concatenate([[*line, -1] for line in lines]).astype(np.int32)
    counts = np.bincount(ids[ids >= 0]).astype(np.int64)
    work = Word2vec(names, counts, ids, SETTINGS._replace(**{"window": 3, "rate": 0.05, "epochs": 3, **changed}))
    work.start()
    first = work.measures() if work.kind == kernel.SOFTMAX else None
    for epoch in range(3):
        work.begin_epoch(epoch)
        for number in range(epoch * work.pieces, (epoch + 1) * work.pieces):
            work.piece(number, 0)
    vectors = work.weights()["vectors"]
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    alike = unit @ unit.T
    assert min(alike[:4, :4].min(), alike[4:, 4:].min()) > alike[:4, 4:].max() + 0.3
    if first is not None:  # the exact loss knows its best: one of four words
        assert first["nats_per_pair"] == pytest.approx(math.log(8), rel=0.01)
        assert work.measures()["nats_per_pair"] == pytest.approx(math.log(4), abs=0.05)
