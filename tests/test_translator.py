"""The packed translator against the model it was made of, and every sentence against itself alone."""

import dataclasses

import numpy as np
import pytest
import torch

from unrolled.cells import CELLS
from unrolled.data.batch import Rows
from unrolled.data.vocab import END, UNKNOWN, Codec
from unrolled.decode import Beam
from unrolled.tasks import translate
from unrolled.translator import Translator

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
]  # fmt: skip


@pytest.mark.parametrize("settings", KINDS, ids=lambda s: "-".join(map(str, s.values())))
def test_the_packed_net_writes_and_scores_as_the_model(settings):
    model, source = model_of(**settings), sentences(5)
    found = Translator(model).translate(source, Beam(width=1), [UNKNOWN])
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
    translator, options = Translator(model), Beam(width=4, length_power=1.0, patience=1.0)
    together = translator.translate(source, options, [UNKNOWN])
    for size in (1, 7, 64):
        parts = (source.taken(np.arange(begin, min(begin + size, 100))) for begin in range(0, 100, size))
        assert [found for part in parts for found in translator.translate(part, options, [UNKNOWN])] == together[:100]
    order = np.random.default_rng(2).permutation(300)
    shuffled = translator.translate(source.taken(order), options, [UNKNOWN])
    assert [together[i] for i in order] == shuffled


def test_a_long_sentence_and_a_single_symbol_side_by_side():
    model = model_of()
    long = Rows.of([np.full(400, 5, np.int32), np.array([UNKNOWN], np.int32)])
    found = Translator(model).translate(long, Beam(width=2), [UNKNOWN])
    assert [len(hypotheses) > 0 for hypotheses in found] == [True, True]
    assert len(found[0][0].ids) <= 820
    assert Translator(model).translate(Rows.of([]), Beam(), [UNKNOWN]) == []
