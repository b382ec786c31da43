"""Which inputs moved a score: against closed forms, and on a label and a tag whose reason is known."""

import json

import numpy as np
import pytest
import torch

from unrolled import api, cli, decision_page, influence
from unrolled.crf import CRF
from unrolled.errors import UserError
from unrolled.tasks import classify, tag

SMALL = {"steps": 60, "hidden": 16, "embedding": 12, "rate": 0.02, "evaluations": 2, "device": "cpu", "quiet": True}


@pytest.fixture(scope="module")
def reviews(tmp_path_factory):
    """Reviews of which one word decides."""
    folder = tmp_path_factory.mktemp("reviews")
    said = {"good": ("lovely", "warm"), "bad": ("cold", "rude")}
    rows = [(f"visit {i}: the soup was {said[label][i % 2]}, with bread", label) for i in range(60) for label in said]
    (folder / "r.tsv").write_text("".join(f"{text}\t{label}\n" for text, label in rows))
    return api.train("classify", folder / "r.tsv", out=folder / "run", **SMALL)


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    folder = tmp_path_factory.mktemp("names")
    return api.train("tag", tag.demo(folder), out=folder / "run", **(SMALL | {"spelling": 8, "steps": 150, "word_dropout": 0.1}))


def numbers(T=7, E=3):
    fill = np.random.default_rng(0).normal(size=(3, T, E))
    return torch.tensor(fill)


# --- closed forms


def test_of_a_linear_score_both_are_the_weights_times_the_way():
    w, x, nothing = numbers()
    wanted = (w * (x - nothing)).sum(-1).numpy()
    score = lambda rows: (rows * w).sum((1, 2)) + 5.0  # noqa: E731
    assert influence.gradient_times_input(score, x, nothing) == pytest.approx(wanted)
    assert influence.occlusion(score, x, nothing, 1000) == pytest.approx(wanted, abs=1e-6)
    assert influence.agreement(wanted, influence.occlusion(score, x, nothing, 1000)) == pytest.approx(1)


def test_of_a_product_the_slope_is_not_what_hiding_does():
    x, nothing = torch.tensor([[2.0], [3.0], [5.0]]), torch.zeros(1)
    score = lambda rows: rows[:, 0, 0] * rows[:, 1, 0] ** 2  # noqa: E731
    assert influence.gradient_times_input(score, x, nothing) == pytest.approx([18, 36, 0])  # x y², 2 x y²
    assert influence.occlusion(score, x, nothing, 1000) == pytest.approx([18, 18, 0])


def test_of_a_long_input_steps_evenly_spread_are_hidden():
    x = torch.arange(1.0, 101).unsqueeze(1)
    falls = influence.occlusion(lambda rows: rows.sum((1, 2)), x, torch.zeros(1), 2000)
    assert np.flatnonzero(~np.isnan(falls)).tolist() == list(range(0, 100, 5))
    assert falls[::5] == pytest.approx(np.arange(1, 101, 5))
    assert influence.agreement(x[:, 0].numpy(), falls) == pytest.approx(1)


def test_too_little_agrees_with_nothing():
    assert influence.agreement(np.array([1.0, 2.0]), np.array([1.0, 2.0])) is None
    assert influence.agreement(np.ones(5), np.arange(5.0)) is None
    assert influence.agreement(np.arange(4.0), -np.arange(4.0)) == pytest.approx(-1)


def test_log_odds_of_a_label_are_those_of_its_probability():
    logits = numbers(5, 4)[0]
    p = logits.softmax(-1)[:, 2]
    assert influence.log_odds(logits, 2).numpy() == pytest.approx(torch.logit(p).numpy())


def test_log_odds_of_a_tag_are_those_of_its_marginal():
    field = CRF(tags=4)
    with torch.no_grad():
        for weight, fill in zip((field.start, field.end, field.follows), (1, 2, 3), strict=True):
            weight.copy_(torch.from_numpy(np.random.default_rng(fill).normal(size=weight.shape)))
    emissions, tags = numbers(5, 4).float(), torch.tensor([0, 3, 1, 2, 2])
    p = field.marginals(emissions)
    for at in range(5):
        found = tag.log_odds(field, emissions, tags, at)
        assert found.detach().numpy() == pytest.approx(torch.logit(p[:, at, tags[at]]).numpy(), abs=1e-4)


# --- reasons that are known


def test_the_word_that_decides_a_label_is_found_both_ways(reviews):
    for word, label in (("lovely", "good"), ("cold", "bad")):
        found = classify.look(reviews, f"Visit 7: the soup was {word}, with bread")
        assert found.answer == label and found.asked is None and found.words.index(word) == 6
        assert found.slopes.argmax() == found.falls.argmax() == 6 and found.falls[6] > 0 and found.agreement > 0.7


def test_what_follows_a_name_decides_its_tag(names):
    found = tag.look(names, "He said , Teddy bears are on sale !", tag.Look(word=4)).decision
    assert found.words[found.asked] == "Teddy" and found.answer == "no name"
    assert found.falls[3] < 0 < found.falls[4]  # Teddy is like a name; bears is no person's doing
    found = tag.look(names, "He said , Teddy was a great president !", tag.Look(word=4))
    assert found.decision.answer == "person (a name of one word)"


def test_the_least_certain_tag_is_explained(names):
    belief = tag.look(names, "Teddy bears are on sale !")
    every = [tag.look(names, "Teddy bears are on sale !", tag.Look(word=n)).decision.probability for n in range(1, 7)]
    assert belief.decision.probability == min(every) and every[belief.decision.asked] == min(every)


# --- the page, the picture, the command


def test_the_command_tells_numbers_and_their_correlation(reviews, names, tmp_path, capsys):
    assert cli.run(["look", str(reviews.folder), "the soup was cold", "--json", "--out", str(tmp_path / "a.svg")]) == 0
    output = capsys.readouterr()
    told = json.loads(output.out)
    found = classify.look(reviews, "the soup was cold")
    assert told["answer"] == "bad" and told["words"] == ["the", "soup", "was", "cold"]
    assert told["occlusion"] == pytest.approx(found.falls.tolist(), abs=1e-5)
    assert told["correlation"] == pytest.approx(found.agreement) and "correlation of gradient × input" in output.err
    assert (tmp_path / "a.svg").read_text().lstrip().startswith("<?xml")
    assert cli.run(["look", str(names.folder), "Rose is on her way .", "--word", "1", "--out", str(tmp_path / "a.png")]) == 0
    assert "“Rose”: " in capsys.readouterr().err and (tmp_path / "a.png").stat().st_size > 1000
    assert cli.run(["look", str(reviews.folder), "cold", "--word", "1"]) == 2
    assert "`--word` is for runs of `tag`; " in capsys.readouterr().err


def test_words_are_text_and_every_sign_has_its_shape(reviews):
    found = classify.look(reviews, "<b>the</b> soup was cold & zzz")
    page = decision_page.page(found).decode()
    assert "<b>the" not in page and "&lt;" in page and "unknown" in page and "default-src 'none'" in page
    moved = found._replace(slopes=np.linspace(-1, 1, len(found.words)), falls=np.full(len(found.words), np.nan, np.float32))
    moved.falls[:2] = 0.5, -0.5
    page = decision_page.page(moved._replace(agreement=0.1)).decode()
    assert "class='n5" in page and "class='p5" in page and "trust what hiding a word does" in page
    assert "cannot be compared" in decision_page.remark(moved._replace(agreement=None))
    assert decision_page.table(moved)[-1]["occlusion"] is None
    assert len(decision_page.picture(moved, "png")) > 1000


def test_what_cannot_be_looked_at_is_told(reviews, names):
    with pytest.raises(UserError, match="the text is empty: there is nothing to read"):
        classify.look(reviews, " ")
    with pytest.raises(UserError, match="the text has 5,001 tokens; 1 to 5,000 can be looked at"):
        classify.look(reviews, "cold " * 5001)
    with pytest.raises(UserError, match="`--word 7` is none of the sentence's 6 words"):
        tag.look(names, "Teddy bears are on sale !", tag.Look(word=7))
