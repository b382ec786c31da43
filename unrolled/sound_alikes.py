"""What a detector must not take for its phrase: parts of it, words that rhyme with it, and phrases one sound away from it.

Texts are plain, and can be spoken by anything; or phonemes in double brackets, [[h'eI]], which espeak-ng alone speaks.
"""

from __future__ import annotations

import re

import numpy as np

from .small_talk import common_words
from .voices import espeak, says

VOWELS = "aeiouyäöüáéíóúàèìòùâêîôûãõåæø"
STARTS = ("b", "d", "f", "g", "h", "k", "l", "m", "n", "p", "r", "s", "t", "w", "st", "tr", "fl", "sh")
STARTS_ALIKE = ("bp", "dt", "cgkqx", "fpv", "csz", "kmn", "rw", "vw")
BESIDE = 6  # common words put in place of one of the phrase's
EDITS = 3  # of each phoneme
# Sounds that accents take for one another: to be quiet at these would be to miss the phrase in such an accent.
ALIKE = (
    *("p b", "t d t#", "k g", "s z", "f v", "S Z tS dZ", "T D t d", "m n N", "r r- R"),
    *("I i i: I2", "u: U u", "E e e@ a", "a A: aa V 0 O: A@ O", "@ 3: 3 @L @2 @5"),
)


def near(phrase: str, language: str = "en", phonemes: bool = True) -> list[str]:
    """Texts to train a detector of `phrase` against, each once, never the phrase itself.

    phonemes: whether to add what differs from it in one sound, as phonemes that espeak-ng must be there to find and to speak.
    """
    words = re.findall(r"\w+(?:['’]\w+)*", phrase.lower())
    texts = [*_parts(words), *_cut(words), *_rhymes(words), *_mixed(words)]
    if phonemes:
        texts += _one_sound_away(phrase, language)
    return [text for text in dict.fromkeys(texts) if text.startswith("[[") or not says(text, phrase)]


def syllables(word: str) -> list[str]:
    """A word in pieces of about a syllable, by its letters: com pu ter."""
    found = re.findall(rf"[^{VOWELS}]*[{VOWELS}]+(?:[^{VOWELS}]+$|[^{VOWELS}](?=[^{VOWELS}]))?", word)
    return found if "".join(found) == word else [word]


def _parts(words: list[str]) -> list[str]:
    """Fewer of the words, and them the other way round."""
    runs = [words[i:j] for i in range(len(words)) for j in range(i + 1, len(words) + 1)]
    return [" ".join(run) for run in [*runs, words[::-1]] if run != words]


def _cut(words: list[str]) -> list[str]:
    """The phrase, and each of its words, begun and not ended, or ended and not begun."""
    texts = []
    for w, word in enumerate(words):
        pieces = syllables(word)
        for cut in range(1, len(pieces)):
            begun, ended = "".join(pieces[:cut]), "".join(pieces[cut:])
            texts += [begun, ended, " ".join([*words[:w], begun]), " ".join([ended, *words[w + 1 :]])]
    return texts


def _rhymes(words: list[str]) -> list[str]:
    """Each word with another beginning: alone, and in the phrase."""
    texts = []
    for w, word in enumerate(words):
        rest = re.sub(rf"^[^{VOWELS}]+", "", word)
        others = [start + rest for start in STARTS if not _same_start(start, word)] if rest else []
        texts += [text for other in others for text in (other, " ".join([*words[:w], other, *words[w + 1 :]]))]
    return list(dict.fromkeys(texts))


def _same_start(start: str, word: str) -> bool:
    """Whether a word begins, or may be heard to begin, with `start`."""
    dropped = start == "h" and word[0] in VOWELS
    return dropped or start[0] == word[0] or any(start[0] in group and word[0] in group for group in STARTS_ALIKE)


def _mixed(words: list[str]) -> list[str]:
    """The phrase with a common word in place of one of its own."""
    common, rng = common_words(), np.random.default_rng(1)
    texts = []
    for w in range(len(words) if len(words) > 1 else 0):
        texts += [" ".join([*words[:w], common[i], *words[w + 1 :]]) for i in rng.integers(len(common), size=BESIDE)]
    return texts


# --- phonemes


def _one_sound_away(phrase: str, language: str) -> list[str]:
    """The phrase with one phoneme another of its kind, as clear a difference as ALIKE lets through; unstressed vowels stay."""
    words, known = _phonemes(phrase, language), _inventory(language)
    rng, texts = np.random.default_rng(1), []
    for w, word in enumerate(words):
        for p, phoneme in enumerate(word):
            stress, bare = re.fullmatch(r"([',%=|_]*)(.*)", phoneme).groups()
            if not bare or (_is_vowel(bare) and "'" not in stress):
                continue
            others = [one for one in known if _is_vowel(one) == _is_vowel(bare) and not _alike(one, bare)]
            for other in rng.permutation(others)[:EDITS]:
                changed = [*words[:w], [*word[:p], f"{stress}{other}", *word[p + 1 :]], *words[w + 1 :]]
                texts.append("[[" + " ".join("".join(one) for one in changed) + "]]")
    return texts


def _phonemes(text: str, language: str) -> list[list[str]]:
    """A text's words as espeak-ng's phonemes; a vowel has its stress before it."""
    written = espeak("-q", "-x", "--sep=_", "-v", language, "-b", "1", "--stdin", text=text).decode()
    return [[one for one in word.split("_") if one] for word in written.split()]


def _inventory(language: str) -> list[str]:
    """The phonemes of a language, as far as its numbers and the names of its letters have them."""
    text = " ".join([*map(str, range(21)), *"abcdefghijklmnopqrstuvwxyz", "50", "80", "100", "1000"])
    bare = {re.sub(r"[',%=|]", "", phoneme) for word in _phonemes(text, language) for phoneme in word}
    return sorted(one for one in bare if re.fullmatch(r"[A-Za-z@][\w:@#-]*", one))


def _is_vowel(phoneme: str) -> bool:
    return phoneme[0] in "aeiouyAEIOUVYWQ@03289&"


def _alike(one: str, other: str) -> bool:
    return one == other or any(one in group.split() and other in group.split() for group in ALIKE)
