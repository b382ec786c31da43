"""Runs as a page that answers by itself: what stands in it, and that its JavaScript answers as the runs do."""

import base64
import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from chromium import SHOWN, browser, chromium, opened, typed
from test_export import TRANSLATORS, reader, run_of, tagger, translator, writer
from test_tokens import PIECES, rows

from unrolled import api, cells, cli, word_map
from unrolled import writer as writing
from unrolled.cells import CELLS
from unrolled.config import build
from unrolled.data import tokens, vocab
from unrolled.data.vocab import END, Codec
from unrolled.errors import UserError
from unrolled.export import page
from unrolled.tasks import classify, language, tag, translate
from unrolled.vectors import Vectors

NODE = shutil.which("node")
node = pytest.mark.skipif(NODE is None, reason="no node here to run the page's JavaScript: apt-get install nodejs")
CLOSE = 1e-4


def blocks_of(path: Path) -> dict[str, tuple[dict, str]]:
    """What stands in a page of each run: what it is, and its weights in base64."""
    text = path.read_text(encoding="utf-8")
    found = re.findall(r'<script type="[^"]*" data-(run|weights)="([^"]*)">(.*?)</script>', text, re.S)
    told = {(kind, html.unescape(name)): data for kind, name, data in found}
    return {name: (json.loads(data), told["weights", name]) for (kind, name), data in told.items() if kind == "run"}


# --- what stands in it


@pytest.mark.parametrize(
    "run", [writer(tied=True), reader(), tagger(), translator(cell="lstm")], ids=lambda run: run.task.__name__[15:]
)
def test_the_weights_are_those_of_the_run(run, tmp_path):
    written = page.write([run], tmp_path / "made")
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["index.html"]
    assert written.bytes == (tmp_path / "made" / "index.html").stat().st_size and written.runs == ["fresh"]
    ((about, weights),) = blocks_of(tmp_path / "made" / "index.html").values()
    values, found = np.frombuffer(base64.b64decode(weights), "<f4"), {}
    for name, shape in about["weights"]:
        size = int(np.prod(shape))
        found[name], values = values[:size].reshape(shape), values[size:]
    assert len(values) == 0
    for name, value in run.model.state_dict().items():
        assert np.array_equal(found[about["settings"]["same"].get(name, name)], value.numpy())
    assert Codec.from_json(about["codec"]).to_json() == run.codec.to_json()


def test_a_run_tells_what_answering_takes():
    about, _ = page.described("names", tagger(direction="forward", cell="gru_after"))
    assert about["settings"].items() >= {"cell": "gru_after", "directions": 1, "lower": True}.items()
    about, _ = page.described("stars", reader(cell="none", pooling="mean"))
    assert about["settings"].items() >= {"cell": None, "pooling": "mean", "ordered": False}.items()
    assert page.described("de", translator(attention="none"))[0]["verbs"] == ["predict"]
    assert "data" not in json.dumps(about["settings"])  # the places of somebody's files stay with the run


def test_the_page_loads_nothing_and_says_so(tmp_path):
    page.write([writer()], tmp_path)
    text = (tmp_path / "index.html").read_text(encoding="utf-8")
    (rules,) = re.findall(r'<meta http-equiv="content-security-policy" content="(.*?)">', text)
    assert rules.startswith("default-src 'none'; script-src 'sha256-")
    without = re.sub(r' data-weights="[^"]*">.*?</script>', "", text)
    assert re.findall(r"https?://\S+", without.replace("(?:https?:", "")) == [] and "import(" not in text and "fetch(" not in text
    assert re.findall(r"@[A-Z]+@", without) == []


def test_nothing_in_a_run_ends_its_block(tmp_path):
    run = run_of(
        classify,
        Codec("tokens", ["</script>", "<!--"], ["<b>", "&amp;"], records=True),
        hidden=4,
        embedding=3,
        pooling="max",
        ordered=False,
    )
    page.write([run._replace(folder=Path('runs/a"b<c'))], tmp_path)
    ((name, (about, _)),) = blocks_of(tmp_path / "index.html").items()
    assert (name, about["codec"]["symbols"]) == ('a"b<c', ["</script>", "<!--"])
    assert (tmp_path / "index.html").read_text().count("</script>") == 3


@pytest.mark.parametrize("task", page.WHY_NOT)
def test_a_task_that_has_no_tab_is_refused_with_the_reason(task, tmp_path):
    with pytest.raises(UserError, match=f"a run of `{task}` has no tab in such a page: ") as refused:
        page.write([writer(), writer()._replace(task=api.tasks.load(task), folder=Path("runs/other"))], tmp_path / "made")
    assert page.WHY_NOT[task] in refused.value.what and not (tmp_path / "made").exists()


def test_every_task_has_a_tab_or_a_reason():
    tabs = {*page.KEPT, "embed"}
    assert tabs | set(page.WHY_NOT) == set(api.tasks.TASKS) and not tabs & set(page.WHY_NOT)


def test_two_runs_of_one_name_are_refused(tmp_path):
    with pytest.raises(UserError, match="two runs are called `fresh`; each has a tab of its name"):
        page.write([writer(), reader()], tmp_path)


def test_a_cell_of_ones_own_is_refused(monkeypatch, tmp_path):
    own = type("Own", (cells.GRU,), {})
    monkeypatch.setitem(CELLS, "own", own)
    with pytest.raises(UserError, match="a page has no cell `Own`; it knows rnn, gru, gru_after, lstm"):
        page.write([writer(cell="own")], tmp_path)


def test_a_net_too_large_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(page, "LARGEST", 100)
    with pytest.raises(UserError, match=r"`fresh` has [\d,]+ bytes of weights; a page takes 100") as refused:
        page.write([writer()], tmp_path)
    assert refused.value.code == 4


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot go on making `.*file/made`"):
        page.write([writer()], tmp_path / "file" / "made")


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["a"], "export writes one thing: give `--to`, `--page`, `--pretrained` or `--push`"),
        (["a", "--to", "b.onnx", "--page", "c"], "export writes one thing: give `--to`, `--page`, `--pretrained` or `--push`"),
        (["a", "--page", "c", "--int8"], "`--int8` is of ONNX; all else has weights of 32 bits"),
        (["a", "b", "--to", "b.onnx"], "`--to b.onnx` takes one run, not 2"),
    ],
)
def test_what_is_to_be_written_has_to_be_clear(words, what, capsys):
    assert cli.run(["export", *words]) == 2
    assert what in capsys.readouterr().err


def test_the_verb_says_what_was_written(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(api, "load", lambda folder: {"book": writer(), "stars": reader()}[folder]._replace(folder=Path(folder)))
    assert cli.run(["export", "book", "stars", "--page", str(tmp_path / "site"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["runs"] == ["book", "stars"]
    assert cli.run(["export", "book", "--page", str(tmp_path / "site")]) == 0
    assert "bytes: book" in capsys.readouterr().out


# --- its JavaScript, in node

DRIVER = """
(async () => {
  const { runs, script } = JSON.parse(require("fs").readFileSync(0, "utf8"));
  const work = new (Object.getPrototypeOf(async () => {}).constructor)("runs", script);
  process.stdout.write(JSON.stringify(await work(runs)));
})();
"""


def in_node(script: str, **runs: api.Run):
    """What a script comes to that finds all of the page's functions, and `runs`: each one's blocks of data, by name."""
    given = {"runs": {name: page.described(name, run) for name, run in runs.items()}, "script": f"{page.script()}\n{script}"}
    done = subprocess.run([NODE, "-e", DRIVER], input=json.dumps(given), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def asked(run: api.Run, *questions: tuple[str, dict]):
    """The answers of a run to (verb, request); a stream's as a list."""
    return in_node(
        f"""const run = answersOf(...runs.run), found = [];
        for (const [verb, body] of {json.dumps(questions)}) {{
          const answer = run[verb](body);
          if (!answer[Symbol.asyncIterator]) {{ found.push(await answer); continue; }}
          found.push([]);
          for await (const one of answer) found.at(-1).push(one);
        }}
        return found;""",
        run=run,
    )


def ids_of(run: api.Run, length: int = 30) -> np.ndarray:
    return np.random.default_rng(1).integers(0, run.codec.source.size, length)


WRITERS = [*(writer(cell=cell) for cell in CELLS), writer(tied=True, layers=1), writer(vectors="one-hot", embedding=20)]


@node
@pytest.mark.parametrize(
    "run", WRITERS, ids=lambda run: f"{run.config.cell}-{run.config.layers}-{run.config.tied}-{run.config.vectors}"
)
def test_a_language_model_has_the_same_logits(run):
    ids = ids_of(run)
    found = in_node(
        f"""const [net] = netOf(...runs.run), found = [];
        let state = net.start(), logits;
        for (const id of {ids.tolist()}) {{ [logits, state] = net.step(id, state); found.push([...logits]); }}
        return found;""",
        run=run,
    )
    torch.nn.init.constant_(run.model.sharpness, 1.0)
    batch = language.Batch(torch.tensor(ids[None]), torch.tensor(ids[None]), None, torch.ones(1, dtype=torch.bool))
    wanted = run.model(batch, None)[0][0].detach().numpy()
    assert np.abs(np.array(found) - wanted).max() < CLOSE


READERS = [
    *(reader(pooling=kind) for kind in classify.POOLINGS),
    *(reader(cell=cell) for cell in CELLS),
    reader(direction="forward", pooling="last"),
    reader(cell="none", pooling="mean"),
    reader(vectors="one-hot", embedding=5),
]


@node
@pytest.mark.parametrize("run", READERS, ids=lambda run: f"{run.config.cell}-{run.config.pooling}-{run.config.direction}")
def test_a_classifier_has_the_same_logits(run):
    run.model.sharpness.fill_(1.3)
    ids = ids_of(run)
    found = in_node(f"return [...await netOf(...runs.run)[0].read({ids.tolist()})];", run=run)
    wanted = run.model(classify.Batch(torch.tensor(ids[None]), torch.tensor([len(ids)]), None, None), None)[0][0]
    assert np.abs(np.array(found) - wanted.detach().numpy()).max() < CLOSE


TAGGERS = [
    tagger(),
    tagger(letters="recurrent", cell="gru"),
    tagger(spelling=0, direction="forward"),
    tagger(crf=False, layers=2),
]


@node
@pytest.mark.parametrize("run", TAGGERS, ids=lambda run: f"{run.config.letters}-{run.config.spelling}-{run.config.direction}")
def test_a_tagger_has_the_same_emissions(run):
    run.model.caution.fill_(0.7)
    words = ["He", "said", "Wolfgangamadeustheophilusmozart", "sings", "ü", "."]
    rows_ = [tag.named.spelled(word) for word in words]
    ids = ids_of(run, len(words))
    spellings = [row.tolist() for row in rows_]
    found = in_node(
        f"return (await netOf(...runs.run)[0].emissions({ids.tolist()}, {spellings})).map((one) => [...one]);", run=run
    )
    letters = np.zeros((1, len(words), max(map(len, rows_))), np.int64)
    for i, row in enumerate(rows_):
        letters[0, i, : len(row)] = row
    batch = tag.Batch(torch.tensor(ids[None]), torch.from_numpy(letters), torch.tensor([len(words)]), None)
    wanted = run.model(batch, None)[0][0].detach().numpy()
    assert np.abs(np.array(found) - wanted).max() < CLOSE


@node
@pytest.mark.parametrize("settings", TRANSLATORS, ids=str)
def test_a_translator_has_the_same_logits(settings):
    run = translator(**settings)
    source, target = ids_of(run, 9), [END, *ids_of(run, 12).tolist()]
    found = in_node(
        f"""const [net] = netOf(...runs.run), found = [];
        let [read, state] = await net.read({source.tolist()}), logits;
        for (const id of {target}) {{ [logits, state] = net.step(id, read, state); found.push([...logits]); }}
        return found;""",
        run=run,
    )
    batch = translate.Batch(
        torch.tensor(source[None]), torch.tensor([9]), torch.tensor([target]), torch.tensor([len(target)]), None
    )
    wanted = run.model.output(run.model.read(batch)[0])[0].detach().numpy()
    assert np.abs(np.array(found) - wanted).max() < CLOSE


# --- its answers


@node
@pytest.mark.parametrize("cell", CELLS)
def test_the_same_texts_are_written(cell):
    run = writer(cell=cell)
    options = [
        {"prompt": "abc ", "length": 60, "temperature": 0},
        {"length": 80, "seed": 3},
        {"prompt": "no", "length": 60, "seed": 2**40 + 5, "temperature": 0.6, "top_p": 0.8},
    ]
    found = asked(run, *(("stream", one) for one in options))
    wanted = [language.samples(run, build(language.Sample, one))[0] for one in options]
    assert ["".join(one["text"] for one in text) for text in found] == wanted and len(wanted[0]) == 60
    watched = language.Watched(run, build(language.Sample, options[1]), language.packed(run.model, None))
    ((told, _),) = language.write_on(run, [watched], 80)
    assert [one["probability"] for one in found[1]] == pytest.approx([one.probability for one in told], abs=CLOSE)


@node
def test_a_label_is_written_for():
    codec = Codec("characters", ["a", "b", "c"], ["low", "high"], records=True)
    run = writer()
    run = run._replace(codec=codec, model=language.Model(run.config, codec).eval())
    found = asked(run, *(("stream", {"label": label, "seed": 1, "length": 30}) for label in codec.labels))
    wanted = [language.samples(run, language.Sample(label=label, seed=1, length=30))[0] for label in codec.labels]
    assert ["".join(one["text"] for one in text) for text in found] == wanted and wanted[0] != wanted[1]


@node
def test_what_was_expected_is_told_alike_also_when_a_text_changes():
    run = writer()
    texts = ["abc", "abcd", "abxd no", "ab", "", "ab§"]
    for text, found in zip(texts, asked(run, *(("score", {"text": text}) for text in texts)), strict=True):
        *symbols, following = language.expected(run, text)
        assert [one["text"] for one in found["symbols"]] == [one.text for one in symbols]
        assert [one["probability"] for one in found["symbols"]] == pytest.approx([one.probability for one in symbols], abs=CLOSE)
        assert [name for name, _ in found["next"]] == [name for name, _ in following.likeliest]
        assert [p for _, p in found["next"]] == pytest.approx([p for _, p in following.likeliest], abs=CLOSE)


TEXTS = ["The soup was cold and rude", "  ", "warm", "rude warm cold " * 30]


@node
@pytest.mark.parametrize("ordered", [False, True])
def test_the_same_labels_are_answered(ordered):
    run = reader(ordered=ordered)
    torch.nn.init.normal_(run.model.output.weight)
    (found,) = asked(run, ("predict", {"texts": TEXTS}))
    for one, other in zip(found["answers"], classify.predict(run, TEXTS, classify.Predict()), strict=True):
        assert (one["text"], one["label"]) == (other.text, other.label)
        if other.label is not None:
            assert (one["likeliest"], one["probability"]) == (other.likeliest, pytest.approx(other.probability, abs=CLOSE))
            assert one["probabilities"] == pytest.approx(other.probabilities, abs=CLOSE)


@node
def test_the_evidence_is_what_hiding_each_word_does():
    run = reader()
    torch.nn.init.normal_(run.model.embed.learned.weight)
    (found,) = asked(run, ("predict", {"texts": TEXTS, "evidence": True}))
    for text, one in zip(TEXTS, found["answers"], strict=True):
        if text.strip():
            seen = classify.look(run, text)
            assert one["words"] == seen.words and one["unknown"] == seen.unknown
            assert one["evidence"] == pytest.approx(seen.falls.tolist(), abs=CLOSE)
    assert max(map(abs, found["answers"][0]["evidence"])) > 1e-3


@node
def test_of_a_long_text_every_so_many_words_are_hidden():
    (found,) = asked(reader(), ("predict", {"texts": ["cold " * 400], "evidence": True}))
    looked = [one is not None for one in found["answers"][0]["evidence"]]
    assert looked == [t % 4 == 0 for t in range(400)]


@node
@pytest.mark.parametrize("run", TAGGERS, ids=lambda run: f"{run.config.letters}-{run.config.spelling}-{run.config.direction}")
def test_the_same_names_are_found(run):
    torch.nn.init.normal_(run.model.output.weight, std=2)
    torch.nn.init.constant_(run.model.output.bias[:1], -5)  # so that there are some
    texts = ["𝄞 He said, Teddy sings. Wolfgangamadeustheophilusmozart said he sings!", "", "sings", "He said\n\nsings he. he"]
    (found,) = asked(run, ("predict", {"texts": texts}))
    wanted = tag.predict(run, texts, tag.Predict())
    for one, other in zip(found["answers"], wanted, strict=True):
        assert [(n["text"], n["label"], n["start"], n["end"]) for n in one["names"]] == [name[:4] for name in other.names]
        assert [n["probability"] for n in one["names"]] == pytest.approx([n.probability for n in other.names], abs=CLOSE)
    assert any(one.names for one in wanted)


@node
@pytest.mark.parametrize("settings", TRANSLATORS, ids=str)
def test_the_same_translations_are_written(settings):
    run = translator(**settings)
    torch.nn.init.normal_(run.model.output.weight, std=0.5)  # so that they are no runs of one symbol
    texts = ["abc def", "", "pomegranate\n", "a", "§ 5 no", "abc " * 8]
    (found, *looked) = asked(
        run,
        ("predict", {"texts": texts}),
        *(("look", {"text": text}) for text in texts if text and run.config.attention != "none"),
    )
    wanted = translate.predict(run, texts, translate.Predict())
    assert [one["text"] for one in found["answers"]] == [one.text for one in wanted] and any(one.text for one in wanted)
    for one, other in zip(found["answers"], wanted, strict=True):
        assert [b["score"] for b in one["best"]] == pytest.approx([b.score for b in other.best], abs=CLOSE)
    for text, one in zip(filter(None, texts), looked, strict=False):
        seen = translate.look(run, text)
        assert (one["source"], one["written"]) == (seen.source, seen.written)
        assert np.abs(np.array(one["weights"]) - seen.weights).max() < CLOSE


@node
def test_a_translator_that_looks_nowhere_says_so():
    run = translator(attention="none")
    script = "return await answersOf(...runs.run).look({ text: 'abc' }).catch((error) => error.message);"
    assert "it looks nowhere" in in_node(script, run=run)


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    """A run of word vectors."""
    folder = tmp_path_factory.mktemp("words")
    (folder / "text.txt").write_text("man king paris\nwoman queen rome\nred blue Green\n" * 200)
    return api.train("embed", folder / "text.txt", out=folder / "run", quiet=True, dimensions=8, epochs=2, min_count=2, threads=1)


@node
def test_the_same_words_are_near(words):
    vectors = Vectors.open(words.folder)
    questions = [("nearest", {"word": "king", "number": 4}), ("nearest", {"word": "GREEN", "number": 20})]
    questions += [("analogy", {"a": "man", "b": "king", "c": "Woman", "number": 3}), ("map", {"words": 1000})]
    near, all_of, like, on_map = asked(words, *questions)
    assert (near["word"], all_of["word"], like["words"]) == ("king", "Green", ["man", "king", "woman"])
    wanted = [vectors.nearest("king", 4), vectors.nearest("Green", 20), vectors.analogy("man", "king", "woman", 3)]
    for found, neighbours in zip([near["nearest"], all_of["nearest"], like["answers"]], wanted, strict=True):
        assert [one["word"] for one in found] == [one.word for one in neighbours]
        assert [one["similarity"] for one in found] == pytest.approx([one.similarity for one in neighbours], abs=CLOSE)
    assert on_map == word_map.places(vectors, words.folder, 1000)
    script = "return answersOf(...runs.run).nearest({ word: 'emperor' }).catch((error) => error.message);"
    assert in_node(script, run=words) == "`emperor` is not among the 9 words in this page"


def test_of_many_words_the_most_frequent_are_kept(words, monkeypatch):
    monkeypatch.setattr(page, "WORDS", 4)
    about, weights = page.described("words", words)
    assert about["weights"] == [["unit", [4, 8]]] and about["settings"]["words"] == Vectors.open(words.folder).words[:4]
    assert about["settings"]["by"] == "the two main axes; of 9 words this page has the 4 most frequent"
    assert np.linalg.norm(np.frombuffer(base64.b64decode(weights), "<f4").reshape(4, 8), axis=1) == pytest.approx(1)


@node
@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"temperature": -1}, "`temperature` got `-1`; allowed is 0 to 100"),
        ({"top_p": 0}, "`top_p` got `0`; allowed is 0.000001 to 1"),
        ({"length": 0}, "`length` got `0`; allowed is 1 to 4096"),
        ({"seed": -5}, "`seed` got `-5`; allowed is 0 to 9007199254740991"),
    ],
)
def test_an_option_out_of_its_range_is_told(options, what):
    script = f"return answersOf(...runs.run).stream({json.dumps(options)}).next().catch((error) => error.message);"
    assert in_node(script, run=writer()) == what


# --- symbols, chance

SPECIAL = [
    "the cat sat on the mat",
    "Zürich’s 12 Bäume, 日本語 👍🏽!",
    " a  b\n\nc\t\u00a0d \x85 e\x1c",
    "",
    "\ufeff",
    "don't WE'LL",
    "e\u0301 ½ Ⅷ ²",
]


@node
@pytest.mark.parametrize("kind", ["characters", "bytes", "words", "tokens", "bpe", "unigram"])
def test_symbols_are_those_of_the_codec(kind):
    texts = [*SPECIAL, *PIECES, "".join(PIECES)]
    texts = [text for text in texts if not re.search("[\ud800-\udfff]", text)]  # JSON's halves of characters are no text
    learnt = vocab.learn(kind, ["the cat sat on the mat in Zürich, 日本, don't you see?\n" * 5], 320, records=kind == "tokens")
    random = np.random.default_rng(1).integers(0, learnt.size, (30, 12)).tolist()
    found = in_node(
        f"""const own = codec({json.dumps(learnt.to_json())}), texts = {json.dumps(texts)}, ids = {random};
        return {{ size: own.size, start: own.start, encoded: texts.map(own.encode), pieces: texts.map(own.pieces),
          texts: Array.from({{ length: own.size }}, (_, i) => own.text(i)), decoded: ids.map((some) => own.decode(some)),
          after: ids.map((some) => own.decode(some, "x")) }};"""
    )
    assert (found["size"], found["start"]) == (learnt.size, learnt.start)
    for text, ids, pieces in zip(texts, found["encoded"], found["pieces"], strict=True):
        assert (text, ids) == (text, learnt.encode(text).tolist())
        assert (text, pieces) == (text, learnt.pieces(text))
    assert found["texts"] == [learnt.text(i) for i in range(learnt.size)]
    assert found["decoded"] == [learnt.decode(ids) for ids in random]
    assert found["after"] == [learnt.decode(ids, "x") for ids in random]


@node
def test_prose_is_cut_alike():
    random = np.random.default_rng(1)
    mixed = ["".join(random.choice(PIECES, 14)) for _ in range(300)] + [" ".join(random.choice(PIECES, 9)) for _ in range(300)]
    every = [chr(i) for i in range(0x3100) if not 0xD800 <= i < 0xE000]
    around = [f"a{character}b {character} {character}'s x.{character}" for character in every]
    texts = [
        text for text in [*SPECIAL, *mixed, *around, *(text for text, _ in rows())] if not re.search("[\ud800-\udfff]", text)
    ]
    found = in_node(f"return {json.dumps(texts)}.map((text) => sentences(text).map((words) => words.map((word) => word.text)));")
    for text, cut in zip(texts, found, strict=True):
        assert (text, cut) == (text, [[token.text for token in words] for words in tokens.sentences(text)])


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [
        (r"a++b*+", "a+b*"),
        (r"[+*]++", "[+*]+"),
        (r"(?i:s|re)", "(?:[sS]|[rR][eE])"),
        (r"[^\W\d_]\d", r"[\p{L}\p{Nl}\p{No}]\p{Nd}"),
        (r"\U0001f1e6", r"\u{1f1e6}"),
    ],
)
def test_a_pattern_of_python_becomes_one_of_javascript(pattern, wanted):
    assert page.in_javascript(pattern) == wanted


@node
def test_a_seed_gives_numpys_numbers():
    seeds = [0, 1, 7, 2**32 - 1, 2**32, 2**53 - 1]
    found = in_node(
        f"return {seeds}.map((seed) => {{ const next = generator(seed); return Array.from({{ length: 50 }}, next); }});"
    )
    assert found == [np.random.default_rng(seed).random(50).tolist() for seed in seeds]


# --- the page, in the distribution's Chromium


@pytest.fixture(scope="module")
def site(tmp_path_factory, words):
    """A page of five runs."""
    runs = {"book": writer(), "stars": reader(ordered=True), "names": tagger(), "dates": translator(attention="additive")}
    torch.nn.init.normal_(runs["names"].model.output.weight, std=2)
    folder = tmp_path_factory.mktemp("site")
    page.write([*(run._replace(folder=Path("runs", name)) for name, run in runs.items()), words], folder)
    return runs | {"run": words}, f"file://{folder}/index.html"


@pytest.mark.browser
@browser
@pytest.mark.parametrize(("width", "dark"), [(1100, False), (380, True)])
def test_the_page_answers_from_disk(site, tmp_path, width, dark):
    runs, address = site
    with chromium(tmp_path, address, width, dark) as tab:
        tab.call("Network.enable")
        assert tab.run("[...document.querySelectorAll('[role=tab]')].map((one) => one.firstChild.data)") == list(runs)
        typed(tab, "abc ")
        tab.wait(f"{SHOWN}.querySelectorAll('.out .given').length === 4 && {SHOWN}.querySelectorAll('.bars li').length >= 5")
        fields = f"const [length, temperature] = {SHOWN}.querySelectorAll('input'), button = {SHOWN}.querySelector('button');"
        tab.run(f"{{ {fields} length.value = 40; temperature.value = 0; button.click(); }}")
        tab.wait(f"{SHOWN}.querySelectorAll('.out span:not(.given)').length === 40")
        tab.wait(f"{SHOWN}.querySelector('button').textContent === 'Write'")
        wanted = language.samples(runs["book"], writing.Sample(prompt="abc ", length=40, temperature=0.0))[0]
        assert tab.run(f"{SHOWN}.querySelector('.out').textContent") == f"abc {wanted}"
        net = "netOf(JSON.parse(contents('run', 'book')), contents('weights', 'book'))[0]"
        logits = tab.run(f"{{ const net = {net}; [...net.step(3, net.start())[0]] }}")
        batch = language.Batch(torch.tensor([[3]]), torch.tensor([[3]]), None, torch.ones(1, dtype=torch.bool))
        assert np.abs(np.array(logits) - runs["book"].model(batch, None)[0][0, 0].detach().numpy()).max() < CLOSE
        tab.screenshot(f"alone-language-{width}")
        opened(tab, "stars")
        typed(tab, "the soup was cold")
        tab.wait(f"[...{SHOWN}.querySelectorAll('.word')].map((one) => one.textContent).join(' ') === 'the soup was cold'")
        (answer,) = classify.predict(runs["stars"], ["the soup was cold"], classify.Predict())
        assert f"answer: {answer.label}" in tab.run(f"{SHOWN}.textContent")
        tab.screenshot(f"alone-classify-{width}")
        opened(tab, "names")
        typed(tab, "𝄞 He said, Teddy sings!")
        (answer,) = tag.predict(runs["names"], ["𝄞 He said, Teddy sings!"], tag.Predict())
        names = [name.text for name in answer.names]
        marked = f"[...{SHOWN}.querySelectorAll('mark')].map((one) => one.firstChild.data)"
        tab.wait(f"JSON.stringify({marked}) === {json.dumps(json.dumps(names, separators=(',', ':'), ensure_ascii=False))}")
        tab.screenshot(f"alone-tag-{width}")
        opened(tab, "dates")
        typed(tab, "abc def")
        tab.wait(f"{SHOWN}.querySelectorAll('thead th').length === 7 && {SHOWN}.querySelectorAll('tbody tr').length >= 1")
        (answer,) = translate.predict(runs["dates"], ["abc def"], translate.Predict())
        assert tab.run(f"{SHOWN}.querySelector('.out').textContent") == answer.text
        tab.screenshot(f"alone-translate-{width}")
        opened(tab, "run")
        typed(tab, "king")
        near = [one.word for one in Vectors.open(runs["run"].folder).nearest("king", 10)]
        listed = f"[...{SHOWN}.querySelectorAll('.bars')][0].querySelectorAll('li span:first-of-type')"
        tab.wait(f"JSON.stringify([...{listed}].map((one) => one.textContent)) === '{json.dumps(near, separators=(',', ':'))}'")
        assert "9 words, laid out by the two main axes" in tab.run(f"{SHOWN}.textContent")
        tab.screenshot(f"alone-embed-{width}")
        tab.run("document.querySelector('[role=tab][aria-selected=true]').focus()")
        tab.run("document.activeElement.dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowRight', bubbles: true }))")
        assert tab.run("document.activeElement.firstChild.data") == "book"  # from the last to the first
        assert tab.run("document.documentElement.scrollWidth <= innerWidth")
        controls = "[...document.querySelectorAll('input, textarea, select, canvas')]"
        assert tab.run(f"{controls}.filter((one) => !one.labels?.length && !one.ariaLabel).map((one) => one.outerHTML)") == []
        assert tab.run("performance.getEntriesByType('resource').map((one) => one.name)") == []
        assert tab.complaints == []
