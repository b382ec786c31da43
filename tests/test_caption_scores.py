"""Scores of captions, against numbers that pycocoevalcap 1.2 gave for the same words; and what they are by hand."""

import random
import time

import numpy as np
import pytest

from unrolled import caption_floors, caption_scores, pointing
from unrolled.caption_scores import measured, scores
from unrolled.data.batch import Rows
from unrolled.data.captioned import Album

WORDS = ["a", "the", "dog", "cat", "runs", "sits", "on", "grass", "red", "ball", "man", "with", "two", "of", "in"]


def drawn() -> tuple[list[list[str]], list[list[list[str]]]]:
    """Captions and references of 40 pictures; some captions are parts of a reference, one is a word that nothing has."""
    generator = random.Random(5)

    def sentence() -> str:
        return " ".join(generator.choice(WORDS) for _ in range(generator.randint(1, 11)))

    def part(text: str) -> str:
        return " ".join(word for word in text.split() if generator.random() < 0.8) or "a"

    references = [[sentence() for _ in range(generator.randint(1, 5))] for _ in range(40)]
    captions = [part(generator.choice(some)) if generator.random() < 0.8 else sentence() for some in references]
    captions[3], captions[4] = "zebra", references[4][0]
    return [text.split() for text in captions], [[text.split() for text in some] for some in references]


def test_scores_are_those_of_the_coco_servers_program():
    found = measured(*drawn())
    expected = (
        0.8928825350259675, 0.8157833339871766, 0.7633330228910364, 0.7189720228467246, 0.8148283992766097, 2.5043576012020483,
    )  # fmt: skip
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


def test_scores_of_sentences_are_those_of_the_coco_servers_program():
    captions = ["a dog runs on the grass", "a man with a red ball", "two cats"]
    references = [
        ["the dog runs over grass", "a brown dog is running on the grass"],
        ["a man holds a red ball", "someone with a ball in his hand"],
        ["two cats sit on a mat", "a cat and a cat"],
    ]
    expected = (
        0.8668778996263423, 0.7392759567655318, 0.4911004905271868, 6.43175430844933e-05, 0.662775660612719, 2.203046695995209,
    )  # fmt: skip
    np.testing.assert_allclose(scores(captions, references), expected, rtol=0, atol=1e-9)
    cut = [text.split() for text in captions], [[text.split() for text in some] for some in references]
    each = caption_scores.cider(caption_scores.Texts.of(*cut))
    np.testing.assert_allclose(each, [2.7371654817126174, 2.728341663572821, 1.1436329427001883], rtol=0, atol=1e-9)


def test_letters_and_punctuation_do_not_count_and_clitics_are_words():
    assert caption_scores.words('Two "young" boys') == ["two", "young", "boys"]
    assert caption_scores.words("A dog's ball, (red) -- isn't it?") == ["a", "dog", "'s", "ball", "red", "is", "n't", "it"]
    assert scores(["A dog ."], [["a dog"]])[:4] == scores(["a dog"], [["a dog"]])[:4]


def test_an_empty_caption_scores_nothing_and_a_right_one_most():
    found = scores(["", ""], [["a dog"], ["a red cat"]])
    assert found.bleu1 < 1e-6 and found.rouge_l == 0 and found.cider == 0
    same = ["a dog runs on green grass", "two men sit at a table"]
    found = scores(same, [[text] for text in same])
    assert found.bleu4 == pytest.approx(1) and found.rouge_l == pytest.approx(1) and found.cider == pytest.approx(10)


def test_captions_without_pictures_or_references_are_refused():
    for captions, references in (([], []), (["a"], []), (["a"], [[]])):
        with pytest.raises(ValueError, match="at least one reference for each picture"):
            scores(captions, references)


def test_the_longest_common_subsequence_is_that_of_the_plain_recursion():
    def plain(a, b):
        table = np.zeros((len(a) + 1, len(b) + 1), int)
        for i, x in enumerate(a):
            for j, y in enumerate(b):
                table[i + 1, j + 1] = table[i, j] + 1 if x == y else max(table[i, j + 1], table[i + 1, j])
        return table[-1, -1]

    generator = random.Random(1)
    for _ in range(200):
        a, b = ([generator.choice("abcd") for _ in range(generator.randint(0, 90))] for _ in range(2))
        assert caption_scores._common(a, b) == plain(a, b)


def test_a_thousand_pictures_take_a_second_at_most():
    generator = random.Random(2)
    texts = [" ".join(generator.choices([f"w{i}" for i in range(2000)], k=11)) for _ in range(5000)]
    began = time.process_time()
    scores(texts[:1000], [texts[i : i + 4] for i in range(1000, 5000, 4)])
    assert time.process_time() - began < 1.0


# --- floors


def album(colours: list[int], captions: list[list[str]]) -> Album:
    pictures = [np.full(16 * 16 * 3, colour, np.uint8) for colour in colours]
    return Album(Rows.of(pictures), 16, captions, [str(i) for i in range(len(captions))], [{} for _ in captions])


def test_the_nearest_picture_lends_its_most_typical_caption():
    known = caption_floors.known(album([10, 200], [["night", "a dark room", "one dark room", "a dark cellar"], ["snow"]]))
    assert known.captions == ["a dark room", "snow"]
    asked = album([220, 30], [["white snow"], ["a dark room"]])
    assert caption_floors.nearest(known, asked) == ["snow", "a dark room"]


def test_floors_are_those_of_one_caption_of_the_nearest_and_of_people(tmp_path):
    known = caption_floors.known(album([10, 200], [["a dark room"], ["snow on a hill"]]))
    (tmp_path / "known").write_bytes(caption_floors.write(known))
    again = caption_floors.read(tmp_path / "known")
    asked = album([220, 30, 31], [["snow on a hill", "white snow"], ["a dark room", "one dark room"], ["a dark room", "night"]])
    found = caption_floors.floors(again, asked)
    assert found == caption_floors.floors(known, asked)
    assert found["nearest picture"]["bleu1"] == pytest.approx(1) and found["one caption for all"]["bleu1"] < 0.9
    assert found["people"] == pytest.approx(scores(
        ["snow on a hill", "a dark room", "a dark room"], [["white snow"], ["one dark room"], ["night"]]
    )._asdict())  # fmt: skip
    alone = album([220, 30], [["snow"], ["a room"]])
    assert "people" not in caption_floors.floors(known, alone)


def test_the_constant_caption_is_the_best_of_those_tried():
    references = [["a dog runs"], ["a dog runs"], ["a dog sits"], ["the sea"]]
    best, found = caption_scores.constant(["the sea", "a dog runs", "nothing"], references)
    assert best == "a dog runs" and found == scores(["a dog runs"] * 4, references)


# --- pointing


def test_words_of_a_phrase_have_its_place_and_others_none():
    regions = {"red circle": (0.0, 0.0, 0.2, 0.2), "ring": (0.5, 0.5, 1.0, 1.0)}
    found = pointing.named(["a", "red", "circle", "above", "a", "red", "ring"], regions)
    assert found == [(1, regions["red circle"]), (2, regions["red circle"]), (6, regions["ring"])]


def test_a_look_lands_where_its_strongest_place_touches_the_thing():
    weights = np.zeros((4, 4))
    weights[1, 2] = 1  # from 0.5 to 0.75 across, from 0.25 to 0.5 down
    assert pointing.hits(weights, (0.7, 0.3, 0.9, 0.4))
    assert not pointing.hits(weights, (0.3, 0.5, 0.4, 0.7))  # rows and columns are not the same
    assert not pointing.hits(weights, (0.75, 0.25, 1.0, 0.5))
    looks, there, elsewhere = weights[None].repeat(3, 0), {"ring": (0.7, 0.3, 0.9, 0.4)}, {"ring": (0, 0, 0.1, 0.1)}
    share = pointing.pointing([["a", "ring"]] * 2, [looks, looks], [there, elsewhere])
    assert share == 0.5
    assert pointing.pointing([["a"]], [weights[None]], [{"ring": (0, 0, 1, 1)}]) is None


def test_slots_are_words_in_their_place_without_those_that_every_caption_has():
    references = [[["a", "red", "ring"]], [["a", "blue", "ring", "left"]]]
    assert pointing.slots([["a", "red", "ring"], ["a", "blue"]], references) == 2 / 3  # red and blue of red, blue, left
    assert pointing.slots([["red", "a"], ["a", "left", "blue"]], references) == 0
    assert pointing.slots([["a"]], [[["a"]]]) is None
