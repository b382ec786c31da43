"""The packed translator against the model it was made of, and every sentence against itself alone."""

import dataclasses

import numpy as np
import pytest
import torch

from unrolled.cells import CELLS
from unrolled.data.batch import Rows
from unrolled.data.vocab import END, UNKNOWN, Codec
from unrolled.decode import Beam, Sampling
from unrolled.tasks import translate
from unrolled.translator import Translator, sample, search

CODEC = Codec("characters", list("abcdefghijklmnopqrstuvwxyz .,"), records=True)
SMALL = translate.Config(hidden=12, embedding=10, vocabulary=CODEC.size, rate=1e-3, steps=1)


def model_of(seed: int = 0, **settings) -> translate.Model:
    torch.manual_seed(seed)
    model = translate.Model(dataclasses.replace(SMALL, **settings), CODEC)
    with torch.no_grad():
        for parameter in model.parameters():  # far from the start, so that every part has a say
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return model.eval()


def sentences(number: int, seed: int = 0, longest: int = 20) -> Rows:
    rng = np.random.default_rng(seed)
    return Rows.of([rng.integers(2, CODEC.size, rng.integers(1, longest)).astype(np.int32) for _ in range(number)])


def greedy(model: translate.Model, source: np.ndarray, most: int) -> list[int]:
    """The likeliest symbol each time, by the model's own forward of all that is written so far."""
    ids: list[int] = []
    while len(ids) < most and END not in ids:
        some = translate.Sentences(Rows.of([source]), Rows.of([np.array(ids, np.int64)]), [])
        with torch.no_grad():
            features, _ = model.read(translate.batch_of(some, np.array([0])))
            logits = model.output(features[0, len(ids)])
        logits[UNKNOWN] = -torch.inf
        ids.append(int(logits.argmax()))
    return ids


KINDS = [
    dict(cell=cell, attention=attention) for cell in CELLS for attention in ("none", "dot", "general", "additive")
] + [
    dict(feed=True), dict(feed=True, attention="additive", cell="lstm", layers=2), dict(layers=2, cell="lstm"),
    dict(layers=3, direction="forward"), dict(tied=False), dict(attention="none", feed=True),
    dict(coverage=True), dict(coverage=True, feed=True, attention="additive"),
]  # fmt: skip


@pytest.mark.parametrize("settings", KINDS, ids=lambda s: "-".join(map(str, s.values())))
def test_the_packed_net_writes_and_scores_as_the_model(settings):
    model, source = model_of(**settings), sentences(5)
    found = search([Translator(model)], source, Beam(width=1), [UNKNOWN])
    for row in range(5):
        ids, best = source.taken(np.array([row])).ids, found[row][0]
        assert best.ids == greedy(model, ids, 2 * len(ids) + 20)
        written = translate.Sentences(Rows.of([ids]), Rows.of([np.array([i for i in best.ids if i != END], np.int64)]), [])
        with torch.no_grad():
            batch = translate.batch_of(written, np.array([0]))
            logits = model.output(model.read(batch)[0][0])
            logits[:, UNKNOWN] = -torch.inf
            nats = logits.log_softmax(-1).gather(1, batch.following[0].unsqueeze(1))[: len(best.ids)].sum()
        assert best.nats == pytest.approx(float(nats), abs=2e-4)


@pytest.mark.parametrize("settings", [dict(), dict(feed=True, attention="additive"), dict(cell="lstm", layers=2)], ids=str)
def test_a_sentence_is_translated_alike_to_the_last_bit_whatever_stands_beside_it(settings):
    model, source = model_of(**settings), sentences(300, seed=1)
    options = Beam(width=4, length_power=1.0, patience=1.0)
    required = [[[5, 6]] * (i % 3 == 0) for i in range(300)]

    def translated(rows):
        return search(nets, source.taken(rows), options, [UNKNOWN], [required[row] for row in rows], coverage=0.2)

    nets = [Translator(model), Translator(model_of(seed=9, attention="general"))]
    together = translated(np.arange(300))
    for size in (1, 7, 64):
        parts = (np.arange(begin, min(begin + size, 100)) for begin in range(0, 100, size))
        assert [found for part in parts for found in translated(part)] == together[:100]
    order = np.random.default_rng(2).permutation(300)
    assert [together[i] for i in order] == translated(order)
    assert all(",".join(map(str, [5, 6])) in ",".join(map(str, together[i][0].ids)) for i in range(0, 300, 3))


def test_what_is_drawn_for_a_sentence_is_its_own_and_follows_the_probabilities():
    model, source = model_of(attention="general"), sentences(40, seed=3)
    nets, options = [Translator(model)], Sampling(1.0)
    together = sample(nets, source, options, 3, 1, [UNKNOWN])
    for row in (0, 17, 39):
        assert sample(nets, source.taken(np.array([row])), options, 3, 1, [UNKNOWN])[0] == together[row]
    assert sample(nets, source, options, 3, 2, [UNKNOWN]) != together
    one = source.taken(np.zeros(1, np.int64))
    firsts = np.array([h.ids[0] for h in sample(nets, one, options, 4000, 5, [UNKNOWN])[0]])
    with torch.no_grad():
        batch = translate.batch_of(translate.Sentences(one, Rows.of([np.zeros(0, np.int64)]), []), np.array([0]))
        logits = model.output(model.read(batch)[0][0, 0])
    logits[UNKNOWN] = -torch.inf
    wanted = logits.softmax(-1).numpy()
    often = np.bincount(firsts, minlength=len(wanted)) / 4000
    assert (np.abs(often - wanted) <= 5 * np.sqrt(wanted * (1 - wanted) / 4000) + 1e-6).all()


def test_coverage_penalty_is_that_of_its_formula():
    model, source = model_of(), sentences(6, seed=4)
    for row, plain in enumerate(search([Translator(model)], source, Beam(width=3), [UNKNOWN])):
        one = source.taken(np.array([row]))
        best = search([Translator(model)], one, Beam(width=3), [UNKNOWN], coverage=0.7)[0]
        for h in best:
            if h.ended:
                weights = translate.looked(model, one.ids, [i for i in h.ids if i != END])
                penalty = np.log(np.clip(weights.sum(0), 1e-6, 1)).sum()
                assert h.score == pytest.approx(h.nats + 0.7 * penalty, abs=2e-3)
        assert plain[0].score == pytest.approx(plain[0].nats)


def test_nets_together_write_by_the_mean_of_their_probabilities():
    models, source = [model_of(seed=1), model_of(seed=2, cell="lstm")], sentences(4, seed=5)
    for row, found in enumerate(search([Translator(model) for model in models], source, Beam(width=2), [UNKNOWN])):
        one = Rows.of([source.taken(np.array([row])).ids])
        pair = translate.Sentences(one, Rows.of([np.array([i for i in found[0].ids if i != END], np.int64)]), [])
        mean = 0
        for model in models:
            with torch.no_grad():
                batch = translate.batch_of(pair, np.array([0]))
                logits = model.output(model.read(batch)[0][0])
            mean = mean + logits.softmax(-1) / 2
        mean[:, UNKNOWN] = 0
        nats = (mean / mean.sum(-1, keepdim=True)).log().gather(1, batch.following[0].unsqueeze(1))[: len(found[0].ids)].sum()
        assert found[0].nats == pytest.approx(float(nats), abs=2e-4)


def test_a_long_sentence_and_a_single_symbol_side_by_side():
    model = model_of()
    long = Rows.of([np.full(400, 5, np.int32), np.array([UNKNOWN], np.int32)])
    found = search([Translator(model)], long, Beam(width=2), [UNKNOWN])
    assert [len(hypotheses) > 0 for hypotheses in found] == [True, True]
    assert len(found[0][0].ids) <= 820
    assert search([Translator(model)], Rows.of([]), Beam(), [UNKNOWN]) == []
