"""word2vec's loop over a text: p(t|c) = softmax(θ_tᵀ e_c) by negative sampling, by a tree, or in full (Mikolov et al. 2013).

x holds e, the vectors of the words read, y holds θ, those of the words predicted; rows are flat and given by offsets. The words
around a target all meet the same outputs: the target and the negatives drawn for it (Ji et al. 2016, pWord2Vec), the nodes on
its way down the tree, or all words. So a target's work is two small matrices, made of tiles of rows.py, and the three kinds
of output differ in the slope of the loss alone. Several threads update the same rows without locks (Niu et al. 2011).
"""

from __future__ import annotations

import math

import numpy as np

from .jit import compiled, inner, pasted
from .rows import INPUTS, LANES, OUTPUTS, TILE, add_row, fetch, products_1, products_2, slopes_1, slopes_2, step_1, step_2

NEGATIVES, TREE, SOFTMAX = 0, 1, 2
SENTENCE = 1000  # most words read as one sentence
AT_ONCE = 6  # inputs that share one set of slopes
OBSERVED = 64  # one target in so many has its loss counted

f32, i64, u64 = np.float32, np.int64, np.uint64
ONE = f32(1)
A_ROW = max(LANES, 16)  # rows are a multiple of it: a cache line


@pasted
def draw(random):
    """31 random bits (a linear congruential generator, Knuth's constants)."""
    random[0] = random[0] * u64(6364136223846793005) + u64(1442695040888963407)
    return i64(random[0] >> u64(33))


@inner
def learn(x, ins, inputs, y, outs, groups, labels, weights, f, size, kind, words, target, rate, look):
    """Rows of x at ins meet those of y at outs, and both move down the loss; returns (losses counted, their sum).

    At most AT_ONCE inputs share one set of slopes: with more, steps that do not know of each other add up too far.
    """
    counted, loss = 0, 0.0
    for first in range(0, inputs, AT_ONCE):
        many = min(AT_ONCE, inputs - first)
        if kind == SOFTMAX or look:
            meet(x, ins, first, many, y, outs, groups, f, size, labels, weights)
            counted += many
            if kind != SOFTMAX:
                loss += loss_of_logistic(f, many, groups, labels, weights)
        if kind == SOFTMAX:
            loss += slopes_of_softmax(f, many, groups, words, target, rate)
        else:
            slopes_of_logistic(x, ins, first, many, y, outs, groups, f, size, labels, weights, rate)
        move(x, ins, first, many, y, outs, groups, f, size)
    return counted, loss


@compiled
def meet(x, ins, first, inputs, y, outs, groups, f, size, labels, weights):
    """f = the products of `inputs` rows of x and groups · OUTPUTS rows of y, tile by tile."""
    at = 0
    for r in range(first, first + inputs, INPUTS):
        for group in range(groups):
            if r + 1 < first + inputs:
                products_2(x, ins, r, y, outs, group * OUTPUTS, f, at, size, labels, weights, 0, ONE)
            else:
                products_1(x, ins, r, y, outs, group * OUTPUTS, f, at, size, labels, weights, 0, ONE)
            at += TILE


@inner
def slopes_of_logistic(x, ins, first, inputs, y, outs, groups, f, size, labels, weights, rate):
    """f = rate · weight · (label - σ(product)), laid as meet() lays it; labels and weights one an output, twice in a tile."""
    at = 0
    for r in range(first, first + inputs, INPUTS):
        for group in range(groups):
            if r + 1 < first + inputs:
                slopes_2(x, ins, r, y, outs, group * OUTPUTS, f, at, size, labels, weights, group * TILE, rate)
            else:
                slopes_1(x, ins, r, y, outs, group * OUTPUTS, f, at, size, labels, weights, group * TILE, rate)
            at += TILE


@inner
def move(x, ins, first, inputs, y, outs, groups, g, size):
    """Both matrices' rows move along the slopes g, laid as meet() lays f."""
    at = 0
    for r in range(first, first + inputs, INPUTS):
        for group in range(groups):
            if r + 1 < first + inputs and ins[r] != ins[r + 1]:
                step_2(x, ins, r, y, outs, group * OUTPUTS, g, at, size)
            else:
                step_1(x, ins, r, y, outs, group * OUTPUTS, g, at, size)
                if r + 1 < first + inputs:  # the same word twice
                    step_1(x, ins, r + 1, y, outs, group * OUTPUTS, g, at + OUTPUTS, size)
            at += TILE


@inner
def loss_of_logistic(f, inputs, groups, labels, weights):
    """-Σ weight · log σ(±f)."""
    total = 0.0
    for r in range(inputs):
        for group in range(groups):
            for o in range(OUTPUTS):
                value = f[(r // INPUTS * groups + group) * TILE + r % INPUTS * OUTPUTS + o]
                i = group * TILE + o
                sign = 1.0 if labels[i] > 0 else -1.0
                total += weights[i] * math.log1p(math.exp(-sign * value)) if sign * value > -30 else -weights[i] * sign * value
    return total


@inner
def slopes_of_softmax(f, inputs, groups, words, target, rate):
    """f becomes rate · (1[t is the target] - softmax(f)) row by row; returns the loss, -Σ log p(target)."""
    loss = 0.0
    for r in range(inputs):
        start = r // INPUTS * groups * TILE + r % INPUTS * OUTPUTS
        largest, total = f32(-np.inf), 0.0
        for w in range(words):
            largest = max(largest, f[start + w // OUTPUTS * TILE + w % OUTPUTS])
        for w in range(words):
            total += math.exp(f[start + w // OUTPUTS * TILE + w % OUTPUTS] - largest)
        at_target = start + target // OUTPUTS * TILE + target % OUTPUTS
        loss += math.log(total) + largest - f[at_target]
        for w in range(groups * OUTPUTS):
            i = start + w // OUTPUTS * TILE + w % OUTPUTS
            p = math.exp(f[i] - largest) / total if w < words else 0.0
            f[i] = -rate * f32(p)
        f[at_target] += rate
    return loss


@inner
def next_sentence(tokens, at, end, keep, sentence, random):
    """The words of the next sentence that frequent-word sampling keeps; how many, and where the one after begins."""
    n = 0
    while at < end and n < SENTENCE:
        word = tokens[at]
        at += 1
        if word < 0:
            if n > 0:
                break
        elif keep[word] > draw(random):
            sentence[n] = word
            n += 1
    return n, at


@inner
def negatives(target, count, pool, place, size, unused, outs, labels, weights):
    """The target and `count` words of the pool as outputs; a word drawn twice counts twice, the target itself not at all."""
    outs[0] = target * size
    labels[0] = labels[OUTPUTS] = ONE
    weights[0] = weights[OUTPUTS] = ONE
    for n in range(1, count + 1):
        outs[n] = i64(pool[place + n - 1]) * size
        weight = ONE
        for earlier in range(n):
            if outs[earlier] == outs[n] and weight > 0:
                weight = f32(0)
                outs[n] = unused
                if earlier > 0:
                    again = earlier // OUTPUTS * TILE + earlier % OUTPUTS
                    weights[again] += ONE
                    weights[again + OUTPUTS] = weights[again]
        i = n // OUTPUTS * TILE + n % OUTPUTS
        weights[i] = weights[i + OUTPUTS] = weight


@inner
def path(target, starts, nodes, turns, size, unused, outs, labels, weights):
    """The nodes on the target's way down the tree as outputs, label 1 where it turns left; returns how many, padded."""
    count = starts[target + 1] - starts[target]
    padded = (count + OUTPUTS - 1) // OUTPUTS * OUTPUTS
    for n in range(padded):
        i = n // OUTPUTS * TILE + n % OUTPUTS
        there = starts[target] + n
        outs[n] = i64(nodes[there]) * size if n < count else unused
        labels[i] = labels[i + OUTPUTS] = ONE - turns[there] if n < count else f32(0)
        weights[i] = weights[i + OUTPUTS] = ONE if n < count else f32(0)
    return padded


@pasted
def ask_for(rows, at, size):
    for k in range(0, size, 16):
        fetch(rows, at + k)


@compiled
def train(tokens, begin, end, x, y, size, keep, pool, tree, pieces, kind, cbow, window, count, words, unused, seed, rates):
    """Train on tokens[begin:end]; the rate falls from rates[0] to rates[1] on the way.

    tokens   words by number, most frequent first; -1 ends a sentence
    x, y     e and θ, flat, rows of `size` numbers
    keep     of each word: kept when above a draw of 31 bits
    pool     negatives drawn beforehand, read one after the other
    tree     (starts, nodes, turns) of each word's way down
    pieces   (starts, rows): the rows of x that make up each word; empty where it is its own row
    count    negatives a target, or the longest way down the tree;  words: how many there are
    unused   where in y a row of zeros begins that is this thread's alone

    Returns targets seen, losses counted, their sum: a loss for one target and one word around it (the mean of them in cbow).
    """
    random = np.array([seed], np.uint64)
    sentence = np.empty(SENTENCE, np.int64)
    outputs = (words if kind == SOFTMAX else count + 1 if kind == NEGATIVES else count) + OUTPUTS - 1
    groups = outputs // OUTPUTS
    outs = np.full(groups * OUTPUTS, unused)
    labels, weights = np.zeros(groups * TILE, np.float32), np.zeros(groups * TILE, np.float32)
    f = np.empty(AT_ONCE * groups * TILE, np.float32)
    ins = np.empty(2 * window + 2, np.int64)
    whole = pieces[1].shape[0] == 0
    ring = 1
    while ring < 2 * window + 2:
        ring *= 2
    held = np.zeros((2 if not whole else 0) * ring * size + size, np.float32)  # composed words, as they are and as they came
    mean = np.zeros(2 * size, np.float32)
    zero = np.zeros(1, np.int64)
    if kind == SOFTMAX:
        for w in range(words):
            outs[w] = w * size
    place = draw(random) % max(1, pool.shape[0] - 2 * count)
    targets, counted, loss, at, since = 0, 0, 0.0, begin, 0
    source = x if whole else held
    while at < end:
        rate = f32(rates[0] + (rates[1] - rates[0]) * (at - begin) / (end - begin))
        n, at = next_sentence(tokens, at, end, keep, sentence, random)
        targets += n
        entered = 0
        for i in range(n):
            target = sentence[i]
            if kind == NEGATIVES:
                if place + 2 * count > pool.shape[0]:
                    place = 0
                negatives(target, count, pool, place, size, unused, outs, labels, weights)
                place += count
                for q in range(count):
                    ask_for(y, i64(pool[place + q]) * size, size)
            elif kind == TREE:
                groups = path(target, tree[0], tree[1], tree[2], size, unused, outs, labels, weights) // OUTPUTS
            if whole and i + window + 1 < n:
                ask_for(x, sentence[i + window + 1] * size, size)
                if kind == NEGATIVES:
                    ask_for(y, sentence[i + window + 1] * size, size)
            while not whole and entered < min(n, i + window + 1):
                compose(x, pieces, sentence[entered], held, entered % ring, ring, size)
                entered += 1
            around, inputs = window - draw(random) % window, 0
            for j in range(max(0, i - around), min(n, i + around + 1)):
                if j != i:
                    ins[inputs] = sentence[j] * size if whole else j % ring * size
                    inputs += 1
            if inputs > 0:
                since += 1
                look = since % OBSERVED == 0 or rates[1] == 0  # no rate: only looking
                rows, chosen, many = source, ins, inputs
                if cbow:
                    average(source, ins, inputs, mean, size)
                    rows, chosen, many = mean, zero, 1
                found = learn(rows, chosen, many, y, outs, groups, labels, weights, f, size, kind, words, target, rate, look)
                counted += found[0]
                loss += found[1]
                if cbow:
                    hand_down(source, ins, inputs, mean, size)
            if not whole and i >= window:
                decompose(x, pieces, sentence[i - window], held, (i - window) % ring, ring, size)
        for i in range(max(0, n - window), n):
            if not whole:
                decompose(x, pieces, sentence[i], held, i % ring, ring, size)
    return targets, counted, loss


@inner
def average(x, ins, inputs, mean, size):
    """mean = (their mean, the same once more): the second half tells later how far the first has moved."""
    share = ONE / f32(inputs)
    for k in range(size):
        mean[k] = 0
    for r in range(inputs):
        add_row(mean, 0, x, ins[r], size)
    for k in range(size):
        mean[k] *= share
        mean[size + k] = mean[k]


@inner
def hand_down(x, ins, inputs, mean, size):
    """Every row moves as far as the mean did: the words' step is that of word2vec.c, without 1/inputs."""
    for k in range(size):
        mean[k] -= mean[size + k]
    for r in range(inputs):
        add_row(x, ins[r], mean, 0, size)


@inner
def compose(x, pieces, word, held, slot, ring, size):
    """The mean of a word's rows (itself and its n-grams, Bojanowski et al. 2017), to be trained on as one row."""
    starts, rows = pieces
    first, last = starts[word], starts[word + 1]
    composed, before = slot * size, (ring + slot) * size
    share = ONE / f32(last - first)
    for k in range(size):
        held[composed + k] = 0
    for i in range(first, last):
        add_row(held, composed, x, i64(rows[i]) * size, size)
    for k in range(size):
        held[composed + k] *= share
        held[before + k] = held[composed + k]


@inner
def decompose(x, pieces, word, held, slot, ring, size):
    """When a word leaves the window, each of its rows moves as far as the whole did."""
    starts, rows = pieces
    composed, before = slot * size, (ring + slot) * size
    for k in range(size):
        held[before + k] = held[composed + k] - held[before + k]
    for i in range(starts[word], starts[word + 1]):
        add_row(x, i64(rows[i]) * size, held, before, size)


@compiled
def fill(pool, totals, seed):
    """Words in proportion to the steps of `totals` (their running sum), in random order: one for each equal part of the whole."""
    random = np.array([seed], np.uint64)
    size, word = pool.shape[0], 0
    part = totals[-1] / size
    first = draw(random) / 2.0**31
    for i in range(size):
        while word + 1 < totals.shape[0] and (i + first) * part >= totals[word]:
            word += 1
        pool[i] = word
    for i in range(size - 1, 0, -1):  # Fisher and Yates
        j = (draw(random) << 31 | draw(random)) % (i + 1)
        pool[i], pool[j] = pool[j], pool[i]
