"""What stands before the recurrent layers: one-hot, learned, pretrained; in the language task, where they are used."""

import numpy as np
import pytest
import torch
from torch import nn

from unrolled import UserError, api
from unrolled.layers import Coverage, OneHot, begin_with
from unrolled.tasks import language
from unrolled.vectors import Vectors

SIZES = {"steps": 4, "hidden": 8, "layers": 1, "batch": 2, "length": 8, "evaluations": 1, "device": "cpu", "quiet": True}
TEXT = "the cat sat on the mat and the rat sat on the hat\n" * 60


@pytest.fixture
def book(tmp_path):
    path = tmp_path / "book.txt"
    path.write_text(TEXT)
    return path


@pytest.fixture
def vectors(tmp_path):
    """Of five of the text's eight words, and of one that is not in it."""
    words = ["the", "cat", "sat", "on", "mat", "dog"]
    made = Vectors(words, np.random.default_rng(1).normal(size=(6, 5)).astype(np.float32) * 7)
    made.save(tmp_path / "words.bin")
    return tmp_path / "words.bin"


def rows(run, *words):
    return run.model.embed.weight[[run.codec.index[word] for word in words]].detach()


def test_one_hot_is_a_row_of_the_unit_matrix():
    ids = torch.tensor([[2, 0], [1, 1]])
    assert torch.equal(OneHot(3)(ids), torch.eye(3)[ids])
    assert torch.equal(OneHot(3).weight, torch.eye(3))


def test_known_symbols_begin_with_their_vectors_scaled_as_one(vectors):
    torch.manual_seed(1)
    embedding, opened = nn.Embedding(6, 5), Vectors.open(vectors)
    before = embedding.weight.detach().clone()
    coverage = begin_with(embedding, 2, ["dog", "newt", "the"], opened)
    assert coverage == Coverage(2, 3) and str(coverage) == "2 of 3 symbols (66.7 %)"
    after = embedding.weight.detach()
    assert torch.equal(after[[0, 1, 3, 5]], before[[0, 1, 3, 5]])
    wanted = torch.from_numpy(np.stack((opened["dog"], opened["the"])))
    ratio = after[[2, 4]] / wanted
    assert torch.allclose(ratio, ratio[0, 0].expand(2, 5), rtol=1e-5)
    assert float(after[[2, 4]].std()) == pytest.approx(float(before.std()), rel=1e-4)


def test_a_language_run_begins_with_vectors_and_tunes_or_keeps_them(book, vectors, tmp_path, capsys):
    given = SIZES | {"symbols": "words", "vectors": str(vectors), "quiet": False}
    frozen = api.train("language", book, out=tmp_path / "frozen", tune=False, **given)
    assert "vectors: 5 of 9 symbols (55.6 %) begin with those of" in capsys.readouterr().err
    assert frozen.config.embedding == 5
    opened = Vectors.open(vectors)
    kept = rows(frozen, "the", "cat", "mat") / torch.from_numpy(np.stack([opened[w] for w in ("the", "cat", "mat")]))
    assert torch.allclose(kept, kept[0, 0].expand(3, 5), rtol=1e-5)
    tuned = api.train("language", book, out=tmp_path / "tuned", tune=True, **given)
    moved = rows(tuned, "the") - rows(frozen, "the")
    assert 0 < moved.abs().max() < 0.2
    text = "".join(frozen.task.sample(frozen, language.Sample(length=9, seed=1)))
    assert set(text.split()) <= set(TEXT.split()) and text


@pytest.mark.parametrize("symbols", ["characters", "words"])
def test_a_language_run_reads_one_hot_vectors(book, tmp_path, symbols):
    run = api.train("language", book, out=tmp_path / "run", symbols=symbols, vectors="one-hot", **SIZES)
    assert "embed.weight" not in dict(run.model.named_parameters())
    assert run.model.layers[0].cells[0].W.shape[1] == run.codec.size == run.config.embedding
    ids = torch.from_numpy(run.codec.encode("the cat sat")).long()[None]
    step, state = language.stepper(run.model, None)  # through the table of W x + b
    whole = run.model(language.Batch(ids, ids, None, torch.ones(1, dtype=torch.bool)), None)[0][0]
    for t in range(ids.shape[1]):
        logits, state = step(ids[:, t].numpy(), state)
        assert logits[0] == pytest.approx(whole[t].detach().numpy(), abs=1e-4)


def test_a_one_hot_run_goes_on_with_new_symbols(book, tmp_path):
    old = api.train("language", book, out=tmp_path / "old", vectors="one-hot", **SIZES)
    book.write_text(TEXT + "quick brown vixen\n" * 40)
    new = api.train("language", book, out=tmp_path / "new", start_from=old.folder, **(SIZES | {"steps": 1, "rate": 1e-7}))
    assert new.codec.size > old.codec.size and new.config.vectors == "one-hot"
    known = new.model.layers[0].cells[0].W.detach()[:, : old.codec.size]
    assert torch.allclose(known, old.model.layers[0].cells[0].W.detach(), atol=1e-5)


def test_vectors_that_do_not_fit_are_refused(book, vectors, tmp_path):
    def refused(**given):
        with pytest.raises(UserError) as error:
            api.train("language", book, out=tmp_path / "run", **(SIZES | given))
        return error.value

    error = refused(vectors=str(vectors))
    assert "are of words" in error.what and "--symbols words" in error.fix
    assert "`--tied` has no vectors to share with `--vectors one-hot`" in refused(vectors="one-hot", tied=True).what
    error = refused(vectors=str(vectors), symbols="words", embedding=7)
    assert "`--embedding 7`, but the vectors of `--vectors` have 5 numbers each" in error.what
    assert "`none.bin` does not exist" in refused(vectors="none.bin", symbols="words").what
    book.write_text(TEXT.upper())
    error = refused(vectors=str(vectors), symbols="words")
    assert "has a vector for none of the text's 9 words" in error.what and "small letters" in error.fix
