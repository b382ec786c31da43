"""The codec: what each kind of symbol keeps of a text, and that ids never change their meaning."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unrolled.data.vocab import COMPLETE, END, FIRST, KINDS, PIECES, UNKNOWN, UNKNOWN_TEXT, WORD, Codec, learn
from unrolled.errors import UserError

few = settings(max_examples=60, deadline=None)
# all of Unicode but lone surrogates, which are no characters; emoji and joiners more often than chance would bring them
texts = st.text(st.one_of(st.sampled_from("ab \n\t\r\0é日🎉👩‍🚀\u2028"), st.characters(exclude_categories=["Cs"])), max_size=60)
TEXT = "the cat sat on the mat, and the rat sat on the cat; cats rattle, rattling mats; café cafés 日本 日本語\n"
LEARNT = {kind: learn(kind, [TEXT] * 20, 300) for kind in PIECES}


def learnt(kind: str, text: str) -> Codec:
    return LEARNT[kind] if kind in PIECES else learn(kind, [text], 1000)


@few
@given(st.sampled_from(["characters", *COMPLETE]), texts)
def test_a_text_the_codec_knows_comes_back_unchanged(kind, text):
    codec = learnt(kind, text)
    assert codec.decode(codec.encode(text)) == text


@few
@given(st.binary(max_size=80))
def test_a_bytes_codec_takes_any_bytes_each_as_its_own_id(data):
    assert bytes(int(i) - FIRST for i in Codec("bytes").encode(data)) == data


@few
@given(texts)
def test_words_keep_words_and_line_ends_and_make_one_blank_of_many(text):
    codec = learn("words", [text], 1000)
    written = codec.decode(codec.encode(text))
    assert WORD.findall(written) == WORD.findall(text)
    assert written == "\n".join(" ".join(line.split()) for line in text.split("\n"))


@few
@given(texts, texts)
def test_characters_never_seen_become_the_declared_unknown(known, asked):
    codec = learn("characters", [known], 1000)
    assert codec.decode(codec.encode(asked)) == "".join(c if c in known else UNKNOWN_TEXT["characters"] for c in asked)


def test_a_word_never_seen_becomes_the_declared_unknown():
    codec = learn("words", ["the cat"], 10)
    assert codec.encode("the dog").tolist() == [codec.index["the"], UNKNOWN]
    assert codec.decode(codec.encode("the dog")) == "the <unknown>"


@pytest.mark.parametrize("kind", COMPLETE)
@few
@given(text=texts)
def test_bytes_and_pieces_know_every_text(kind, text):
    assert UNKNOWN not in learnt(kind, "").encode(text)


@pytest.mark.parametrize("kind", KINDS)
@few
@given(data=st.data())
def test_any_row_of_ids_decodes_piece_by_piece_to_the_text_of_the_whole(kind, data):
    codec = learnt(kind, "a b é 日\n🎉 ")
    ids = data.draw(st.lists(st.integers(0, codec.size - 1), max_size=40))
    piece = codec.decoder()
    assert "".join([piece(i) for i in ids] + [piece(None)]) == codec.decode(np.array(ids, int))


def test_a_character_of_several_bytes_comes_with_its_last_byte():
    piece = Codec("bytes").decoder()
    assert [piece(byte + FIRST) for byte in "é🎉".encode()] == ["", "é", "", "", "", "🎉"]


def test_half_a_character_at_the_end_is_flushed_as_the_replacement():
    piece = Codec("bytes").decoder()
    assert [piece("🎉".encode()[0] + FIRST), piece(None)] == ["", "\ufffd"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_id_has_a_text_that_utf8_can_write(kind):
    codec = learnt(kind, "a b é 日\n🎉 ")
    shown = [codec.text(i) for i in range(codec.size)]
    assert all(text.encode() for text in shown[FIRST:])
    assert shown[END] == "\n"
    assert shown[UNKNOWN] == UNKNOWN_TEXT[kind]


@few
@given(st.sampled_from(["characters", "words"]), texts, texts)
def test_extending_keeps_old_ids_and_gives_every_new_symbol_one(kind, old, new):
    before = learn(kind, [old], 1000)
    added = learn(kind, [new], 1000).symbols
    after = before.extended(added)
    assert after.encode(old).tolist() == before.encode(old).tolist()
    assert after.size == FIRST + len(set(before.symbols) | set(added))
    assert UNKNOWN not in after.encode(new)


@pytest.mark.parametrize("kind", COMPLETE)
def test_extending_bytes_and_pieces_changes_labels_alone(kind):
    before = learnt(kind, "")
    after = before.extended(["x", "new"], ["fr"])
    assert after.encode("a new x").tolist() == before.encode("a new x").tolist()
    assert (after.size, after.labels) == (before.size, ["fr"])


def test_extending_keeps_the_numbers_of_old_labels():
    codec = Codec("bytes", labels=["de", "fr"]).extended([], ["en", "fr"])
    assert [codec.label(name) for name in ("de", "fr", "en")] == [0, 1, 2]


@pytest.mark.parametrize("kind", KINDS)
@few
@given(text=texts)
def test_a_codec_comes_back_from_json_the_same(kind, text):
    codec = learnt(kind, text).extended([], ["é", "b"])
    again = Codec.from_json(json.loads(json.dumps(codec.to_json())))
    assert again.to_json() == codec.to_json()
    assert again.encode(text).tolist() == codec.encode(text).tolist()


def test_what_is_read_may_have_a_codec_of_its_own():
    source, target = learn("characters", ["abc"], 9), learn("words", ["the cat"], 9)
    assert target.source is target
    both = target.with_beside(source).extended(["sat"], ["de"]).with_fixed(["mat"])
    again = Codec.from_json(json.loads(json.dumps(both.to_json())))
    assert again.to_json() == both.to_json()
    assert again.encode("cat mat").tolist() == [target.index["cat"], both.size - 1]
    assert again.source.encode("abc").tolist() == source.encode("abc").tolist()
    assert (again.source.size, again.size) == (FIRST + 3, FIRST + 4)
    assert again.with_beside(None).source.kind == "words"


def test_a_codec_that_reads_and_writes_is_kept_as_it_always_was():
    old = {"kind": "words", "symbols": ["a"], "labels": [], "tokenizer": None, "records": True, "fixed": 0}
    assert Codec.from_json(old).to_json() == old


@pytest.mark.parametrize(
    ("symbols", "dtype"), [(1, "uint8"), (254, "uint8"), (255, "uint16"), (65534, "uint16"), (65535, "uint32")]
)
def test_the_dtype_is_the_smallest_that_holds_the_highest_id(symbols, dtype):
    codec = Codec("characters", [chr(0x10000 + i) for i in range(symbols)])
    assert codec.dtype == np.dtype(dtype)
    assert int(np.array(codec.size - 1).astype(codec.dtype)) == codec.size - 1


@few
@given(texts, st.integers(1, 5))
def test_at_most_so_many_characters_are_kept_and_the_most_frequent_ones(text, maximum):
    kept = learn("characters", [text], maximum).symbols
    assert len(kept) == min(maximum, len(set(text)))
    assert min((text.count(c) for c in kept), default=0) >= max((text.count(c) for c in set(text) - set(kept)), default=0)


def test_at_most_so_many_words_are_kept_and_the_most_frequent_ones():
    assert learn("words", ["a a a b b c"], 2).symbols == ["a", "b"]


@pytest.mark.parametrize("kind", PIECES)
def test_at_most_so_many_pieces_are_learnt(kind):
    codec = learn(kind, [TEXT] * 20, 264)
    assert codec.size == FIRST + 264
    assert len(codec.encode(TEXT)) < len(TEXT.encode())  # some pieces are longer than a byte
    assert learn(kind, [TEXT] * 20, 1).size == FIRST + 257


@pytest.mark.parametrize("kind", PIECES)
@pytest.mark.parametrize("chunks", [[], [""], ["a"], ["\n" * 9]])
def test_pieces_learnt_from_next_to_nothing_know_every_text(kind, chunks):
    codec = learn(kind, chunks, 300)
    assert codec.decode(codec.encode(TEXT)) == TEXT


@pytest.mark.parametrize("kind", PIECES)
def test_equal_texts_give_equal_pieces(kind):
    assert learn(kind, [TEXT] * 20, 300).to_json() == LEARNT[kind].to_json()


def cuts(word: str) -> list[list[str]]:
    """Every way to cut a word."""
    return [[]] if not word else [[word[:i], *rest] for i in range(1, len(word) + 1) for rest in cuts(word[i:])]


@pytest.mark.parametrize("word", ["rattling", " rattle", "cafés", " mats"])
def test_unigram_takes_the_likeliest_of_all_ways_to_cut_a_word(word):
    codec = LEARNT["unigram"]
    score = dict(json.loads(codec.tokenizer_json)["model"]["vocab"])
    name = {codec._bytes(i): score[codec.tokenizer.id_to_token(i - FIRST)] for i in range(FIRST, codec.size)}
    by_bytes = word.encode().decode("latin-1")
    possible = [[part.encode("latin-1") for part in cut] for cut in cuts(by_bytes)]
    best = max((cut for cut in possible if all(part in name for part in cut)), key=lambda cut: sum(map(name.get, cut)))
    assert [codec._bytes(i) for i in codec.encode(word)] == best
    assert any(len(part) > 1 for part in best)


def test_what_is_counted_does_not_depend_on_how_the_text_is_cut():
    text = "b a\nc a b 🎉"
    for kind in ("characters", "words"):
        whole = learn(kind, [text], 3)
        assert learn(kind, ["b a\n", "c a ", "b 🎉"], 3).symbols == whole.symbols


def test_an_unknown_label_names_the_known_ones_and_the_nearest():
    with pytest.raises(UserError, match=r"`germn` is not a label; known are french, german\n.*did you mean `german`") as raised:
        Codec("bytes", labels=["french", "german"]).label("germn")
    assert raised.value.code == 2
    with pytest.raises(UserError, match="this model was trained without labels"):
        Codec("bytes").label("german")
    many = Codec("bytes", labels=[f"name{i}" for i in range(30)])
    with pytest.raises(UserError, match="name19, …"):
        many.label("x")


@pytest.mark.parametrize("kind", KINDS)
def test_a_lone_surrogate_is_read_without_a_crash(kind):
    # a prompt that is no UTF-8 reaches Python as lone surrogates, and JSON may hold half of a pair
    codec = learnt(kind, "a b")
    for text in ("a \ud83d b", "a \udcff b"):
        assert codec.encode(text).tolist()[0] == codec.encode("a b").tolist()[0]
