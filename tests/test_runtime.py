"""Exported files run without torch: the same answers as the run gives."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from test_export import (
    CAPTIONERS,
    MAKERS,
    TRANSLATORS,
    WATCHERS,
    captioner,
    hearer,
    maker,
    reader,
    tagger,
    talker,
    translator,
    watcher,
    writer,
)

from unrolled import backoff, ctc, detection, export, hot_words, runtime
from unrolled.crf import CRF
from unrolled.data import sound
from unrolled.data.vocab import Codec
from unrolled.errors import UserError
from unrolled.runtime import Sample, field, prefixes
from unrolled.runtime import caption as captioning
from unrolled.runtime import speech as writing_down
from unrolled.runtime import translate as translating
from unrolled.runtime import trigger as triggering
from unrolled.runtime import wavenet as making
from unrolled.tasks import caption, classify, language, speech, tag, translate, trigger, video, wavenet


@pytest.fixture
def opened(tmp_path):
    """A function from a run to the model in its exported file."""

    def made(run):
        export.export(run, tmp_path / "made.onnx")
        return runtime.load(tmp_path / "made.onnx")

    return made


# --- writing


@pytest.mark.parametrize("cell", ["gru", "lstm"])
@pytest.mark.parametrize(
    "options",
    [
        Sample(temperature=0, length=40),
        Sample(seed=3, length=60, number=3, prompt="abc "),
        Sample(seed=3, length=40, top_k=5, repetition_penalty=1.3, stop=("jk",)),
        Sample(beam=4, length=12, number=2),
    ],
    ids=["greedy", "drawn", "filtered", "beam"],
)
def test_the_same_texts_are_written(opened, cell, options):
    run = writer(cell=cell)
    wanted = language.samples(run, options)
    model = opened(run)
    assert model.sample(options) == wanted and len("".join(wanted)) > 0
    assert "".join(model.stream(options)) == "".join(language.sample(run, options))


def test_a_label_is_written_for(opened):
    codec = Codec("characters", ["a", "b", "c"], ["low", "high"], records=True)
    run = writer()
    run = run._replace(codec=codec, model=language.Model(run.config, codec).eval())
    options = Sample(label="high", seed=1, length=30)
    model = opened(run)
    assert model.sample(options) == language.samples(run, options) != model.sample(Sample(label="low", seed=1, length=30))
    with pytest.raises(UserError, match="this run writes for a label"):
        model.sample(Sample())


def test_a_text_is_scored_alike_whole_or_in_parts(opened, monkeypatch):
    run, text = writer(), "abc mno\npab " * 10
    wanted = language.score(run, run.codec.encode(text), len(text), language.Score()).nats
    model = opened(run)
    assert np.abs(model.score(text).nats - wanted).max() < 1e-5
    monkeypatch.setattr(runtime.language, "AT_ONCE", 7)
    assert np.abs(model.score(text).nats - wanted).max() < 1e-5


# --- answering

TEXTS = ["The soup was cold and rude", "  ", "warm", "cold " * 70]


@pytest.mark.parametrize("ordered", [False, True])
def test_the_same_labels_are_answered(opened, ordered):
    run = reader(ordered=ordered)
    found, wanted = opened(run).predict(TEXTS), classify.predict(run, TEXTS, classify.Predict())
    for one, other in zip(found, wanted, strict=True):
        assert (one.text, one.label, one.likeliest) == (other.text, other.label, other.likeliest)
        assert one.probabilities == (other.probabilities and pytest.approx(other.probabilities, abs=1e-6))


@pytest.mark.parametrize("run", [tagger(), tagger(spelling=0), tagger(crf=False, letters="recurrent")])
def test_the_same_names_are_found(opened, run):
    torch.nn.init.normal_(run.model.output.weight, std=2)
    torch.nn.init.constant_(run.model.output.bias[:1], -5)  # so that there are some
    texts = ["He said, Teddy sings. Wolfgangamadeustheophilusmozart said he sings!", "", "sings"]
    found, wanted = opened(run).predict(texts), tag.predict(run, texts, tag.Predict())
    for one, other in zip(found, wanted, strict=True):
        assert (one.text, one.words, one.tags, one.offsets) == (other.text, other.words, other.tags, other.offsets)
        assert [name[:4] for name in one.names] == [name[:4] for name in other.names]
        assert [n.probability for n in one.names] == pytest.approx([n.probability for n in other.names], abs=1e-5)
    assert any(one.names for one in found)


@pytest.mark.parametrize("settings", TRANSLATORS, ids=str)
@pytest.mark.parametrize("beam", [1, 4])
def test_the_same_translations_are_written(opened, settings, beam):
    run = translator(**settings)
    torch.nn.init.normal_(run.model.output.weight, std=0.5)  # so that they are no runs of one symbol
    texts = ["abc def", "", "pomegranate\n", "a", "§ 5 no", "abc " * 8]
    wanted = translate.predict(run, texts, translate.Predict(beam=beam, best=min(beam, 2)))
    model = opened(run)
    found = model.predict(texts, translating.Predict(beam=beam, best=min(beam, 2)))
    assert [one.text for one in found] == [other.text for other in wanted] and any(one.text for one in found)
    for one, other in zip(found, wanted, strict=True):
        assert [b.text for b in one.best] == [b.text for b in other.best]
        assert [b.score for b in one.best] == pytest.approx([b.score for b in other.best], abs=1e-4)
    with pytest.raises(UserError, match="`best=9` is more than `beam="):
        model.predict(texts, translating.Predict(beam=beam, best=9))


def test_the_parts_of_a_model_belong_together(tmp_path):
    for name in ("one", "other"):
        export.export(translator(), tmp_path / f"{name}.onnx")
    with pytest.raises(UserError, match=r"`.*one.step.onnx` is a part of `one.onnx`"):
        runtime.load(tmp_path / "one.step.onnx")
    (tmp_path / "other.step.onnx").replace(tmp_path / "one.step.onnx")
    with pytest.raises(UserError, match=r"`.*one.step.onnx` was not written with `.*one.onnx`"):
        runtime.load(tmp_path / "one.onnx")
    with pytest.raises(UserError, match=r"there is no exported file `.*other.step.onnx`"):
        runtime.load(tmp_path / "other.onnx")


def test_a_chain_of_tags_is_that_of_the_compiled_loops():
    random = np.random.default_rng(1)
    follows = random.random((4, 4)) < 0.6
    follows[np.arange(4), (np.arange(4) + 1) % 4] = True
    chain = CRF(np.array([True, True, False, True]), follows, np.array([True, False, True, True]))
    for parameter in chain.parameters():
        torch.nn.init.normal_(parameter)
    scores = [each.detach().numpy() for each in chain.scores()]
    for T in (1, 2, 9):
        emissions = random.standard_normal((1, T, 4)).astype(np.float32)
        tags, _ = chain.best(torch.from_numpy(emissions))
        assert field.best(emissions[0], *scores).tolist() == tags[0].tolist()
        wanted = chain.marginals(torch.from_numpy(emissions))[0].numpy()
        assert np.abs(field.marginals(emissions[0], *scores) - wanted).max() < 1e-6


# --- listening


def noise(seconds: float, rate: int = 8000) -> np.ndarray:
    """Noise that swells and fades."""
    times = np.arange(round(seconds * rate)) / rate
    return (np.random.default_rng(1).normal(0, 0.1, len(times)) * np.sin(3 * times) ** 2).astype(np.float32)


@pytest.mark.parametrize(
    "settings", [{}, {"cell": "lstm", "frames": 3, "stride": 3}, {"frames": 7, "stride": 2}, {"cell": "wavenet"}], ids=str
)
def test_the_same_events_are_heard(opened, settings, tmp_path):
    run = hearer(**settings)
    sound.write(tmp_path / "noise.wav", noise(70), 8000)
    path, wanted = tmp_path / "noise.wav", trigger.detector(run.model)
    run.model.threshold.fill_(float(np.median(wanted.probabilities(sound.blocks(path, 8000)))))
    model, told = opened(run), list(trigger.listen(run, str(path), trigger.Listen()))
    heard = list(model.listen(str(path)))
    assert [event.time for event in heard] == [one["time"] for one in told] and len(told) > 5
    assert [event.probability for event in heard] == pytest.approx([one["probability"] for one in told], abs=2e-4)
    found = model.predict([path, (noise(0.01), 8000)])
    highest = trigger.predict(run, [path], trigger.Predict())[0].probability
    assert found[0].probability == pytest.approx(highest, abs=2e-4) and len(found[0].events) == len(told)
    assert found[1] == (0.0, [])
    at = highest - 1e-3
    (fewer,) = trigger.predict(run, [path], trigger.Predict(threshold=at))
    (rarer,) = model.predict([path], at)
    assert [event.time for event in rarer.events] == [one["time"] for one in fewer.events] != []


def test_a_stream_hears_the_same_in_pieces_of_any_size_and_begins_anew(opened):
    run, samples, random = hearer(), noise(20), np.random.default_rng(2)
    wanted = trigger.detector(run.model).probabilities([samples])
    run.model.threshold.fill_(float(np.median(wanted)))
    model = opened(run)
    probabilities, events, _ = model(samples, model.start())
    assert len(events) > 5 and np.abs(probabilities - wanted).max() < 1e-5
    stream = model.stream()
    for _ in range(2):
        cuts = np.sort(random.integers(0, len(samples), 200))
        found = [event for piece in np.split(samples, cuts) for event in stream.push(piece)]
        assert [event.time for event in found] == [event.time for event in events]
        assert [e.probability for e in found] == pytest.approx([e.probability for e in events], abs=2e-4)
        stream.reset()


def test_sound_of_another_rate_is_resampled(opened, tmp_path):
    model, samples = opened(hearer()), noise(5, 16_000)
    sound.write(tmp_path / "noise.wav", samples, 16_000)
    samples = sound.read(tmp_path / "noise.wav", 16_000)
    file, array = model.predict([tmp_path / "noise.wav", (samples, 16_000)])
    assert file == array and file.probability > 0


def test_a_detector_fires_as_the_compiled_loop_does():
    random = np.random.default_rng(3)
    for release, refractory in ((1.0, 0.0), (0.5, 0.3), (0.9, 2.0)):
        rule, state, other = detection.Rule(0.7, release, refractory), detection.START, detection.START
        for T in (1, 0, 50, 400):
            probabilities = random.random(T).astype(np.float32)
            times, state = detection.events(probabilities, rule, 0.03, state)
            at, after = triggering.fire(probabilities, rule, 0.03, other)
            assert [(other.frame + i + 1) * 0.03 for i in at] == times.tolist() and after == state
            other = after
        assert state.frame == 451


@pytest.mark.parametrize(
    ("samples", "what"),
    [
        (np.zeros(9, np.int16), r"samples got int16 \(9,\); needed is an array"),
        (np.zeros((9, 2)), r"samples got float64 \(9, 2\); needed is an array"),
        (np.array([0, np.nan]), "sample 1 of this piece is nan, no finite number"),
    ],
)
def test_what_are_no_samples_is_said(opened, samples, what):
    model = opened(hearer())
    stream = model.stream()
    for push in (stream.push, lambda samples: model.predict([(samples, 8000)])):
        with pytest.raises(UserError, match=what):
            push(samples)
    with pytest.raises(UserError, match="the threshold of a detector is above 0, got 0"):
        model.stream(0.0)


# --- writing down


@pytest.mark.parametrize("settings", [{}, {"direction": "forward"}, {"symbols": "words"}], ids=str)
def test_the_same_texts_are_written_down(opened, settings, tmp_path):
    run = talker(tmp_path, **settings)
    sound.write(tmp_path / "noise.wav", noise(6), 8000)
    path, short = tmp_path / "noise.wav", noise(0.01)
    model = opened(run)
    for options in ({}, {"beam": 5, "best": 3, "lm": "none", "insertion": 0.5}, {"hot": ("mad a",), "bonus": 2.0, "weight": 0.3}):
        wanted = speech.predict(run, [path, short], speech.Predict(**options))
        found = model.predict([path, (short, 8000)], writing_down.Predict(**options))
        assert [one.text for one in found] == [other.text for other in wanted] and len(found[0].text) > 10
        assert [one.words for one in found] == [other.words for other in wanted]
        for one, other in zip(found, wanted, strict=True):
            assert [guess.text for guess in one.best] == [guess.text for guess in other.best]
            assert [guess.score for guess in one.best] == pytest.approx([guess.score for guess in other.best], abs=2e-3)
    frames = speech.answers(run.model, [sound.read(path, 8000)])[0]
    assert model.greedy([path]) == [speech._written(run.codec, speech.spelled.greedy(frames)[0])]
    with pytest.raises(UserError, match="`best=9` is more than `beam=5`"):
        model.predict([path], writing_down.Predict(beam=5, best=9))
    with pytest.raises(UserError, match="the hot phrase `§` is empty, or has a symbol that no transcript had"):
        model.predict([path], writing_down.Predict(hot=("§",)))


@pytest.mark.parametrize("hot", [[], [[2, 3], [3, 4, 3]]], ids=["plain", "hot"])
@pytest.mark.parametrize("known", [False, True], ids=["alone", "ngrams"])
def test_prefixes_are_searched_as_by_the_compiled_loops(hot, known):
    random, V = np.random.default_rng(4), 5
    model = backoff.of_texts([random.integers(1, V, 6) for _ in range(20)], V, 3) if known else None
    ngrams = prefixes.Ngrams(*model.automaton, model.start) if known else None
    rules = prefixes.Rules(0, ngrams, 0.7, 0.2, hot_words.listen(hot, V, 1, 1.5), V)
    for width, T in ((1, 30), (4, 60), (40, 7), (12, 40)):
        logits = random.normal(0, 3, (T, V))
        frames = logits - np.logaddexp.reduce(logits, 1, keepdims=True)
        frames[T // 2, 2] = -np.inf
        search = ctc.Search(V, 0, 1, width, model=model, weight=0.7, insertion=0.2, hot=hot, bonus=1.5)
        wanted, found = search.read(frames, 3), prefixes.search(frames, rules, width, 3)
        assert [one.ids.tolist() for one in found] == [other.ids.tolist() for other in wanted]
        assert np.abs(np.array([one[1:] for one in found]) - [other[1:] for other in wanted]).max() < 1e-9
        begins, ends = ctc.align(frames, found[0].ids)
        assert [each.tolist() for each in prefixes.align(frames, found[0].ids, 0)] == [begins.tolist(), ends.tolist()]
    assert [each.tolist() for each in prefixes.align(frames, found[0].ids[:0], 0)] == [[], []]


# --- looking at pictures


@pytest.mark.parametrize("settings", CAPTIONERS, ids=str)
def test_the_same_captions_are_written(opened, settings, tmp_path):
    run, random = captioner(**settings), np.random.default_rng(1)
    Image.fromarray(random.integers(0, 256, (50, 70, 3), np.uint8)).save(tmp_path / "large.png")
    drawn = [random.integers(low, low + 60, (run.config.size, run.config.size, 3)).astype(np.uint8) for low in range(0, 190, 10)]
    asked = [tmp_path / "large.png", *drawn]
    model = opened(run)
    for options in ({}, {"beam": 1}, {"beam": 4, "best": 3, "length_power": 0.5, "no_repeat": 2}, {"best": 5, "diversity": 0.5}):
        wanted = caption.predict(run, asked, caption.Predict(**options))
        found = model.predict(asked, captioning.Predict(**options))
        assert [one.text for one in found] == [other.text for other in wanted]
        for one, other in zip(found, wanted, strict=True):
            assert [best.text for best in one.best] == [best.text for best in other.best]
            assert [best.score for best in one.best] == pytest.approx([best.score for best in other.best], abs=1e-4)
    assert len({one.text for one in found}) > 1
    with pytest.raises(UserError, match="`best=9` is more than `beam=5`"):
        model.predict(asked, captioning.Predict(best=9))


def test_pixels_are_stretched_as_files_are_and_others_refused(opened, tmp_path):
    pixels = np.random.default_rng(1).integers(0, 256, (50, 70, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "large.png")
    model = opened(captioner())
    file, array = model.predict([tmp_path / "large.png", pixels])
    assert file == array
    assert model.predict([]) == []
    with pytest.raises(UserError, match=r"a picture got float64 \(9, 9, 3\); needed is an array \(height, width, 3\) of uint8"):
        model.predict([np.zeros((9, 9, 3))])


# --- watching


@pytest.mark.parametrize("settings", WATCHERS, ids=str)
def test_the_same_is_seen_in_clips_and_their_frames(opened, settings, tmp_path):
    run, random = watcher(**settings), np.random.default_rng(1)
    clips = random.integers(0, 256, (3, 9, 20, 20, 3), np.uint8) // np.array([1, 2, 4], np.uint8)[:, None, None, None, None]
    paths = [tmp_path / f"{i}.png" for i in range(3)]
    for path, clip in zip(paths, clips, strict=True):
        Image.fromarray(np.concatenate(list(clip), 1)).save(path)  # a strip
    model = opened(run)
    for each in (False, True):
        if each and not model.streams:
            for ask in (lambda: model.predict(paths, each=True), model.stream):
                with pytest.raises(UserError, match="this net answers to whole clips alone, not frame by frame"):
                    ask()
            continue
        wanted = video.predict(run, [video.opened(run, path) for path in paths], video.Predict(each=each))
        for asked in (paths, clips):
            found = model.predict(list(asked), each=each)
            for one, other in zip(found, wanted, strict=True):
                assert one.label == other.label and one.probabilities == close(other.probabilities)
                assert [strip(frame) for frame in one.frames or ()] == [strip(frame) for frame in other.frames or ()]
                assert [f["probability"] for f in one.frames or ()] == close([f["probability"] for f in other.frames or ()])


def close(values):
    return values and pytest.approx(values, abs=1e-6)


def strip(frame: dict) -> dict:
    return {name: value for name, value in frame.items() if name != "probability"}


def test_a_stream_of_frames_begins_anew(opened):
    model, random = opened(watcher(pooling="mean")), np.random.default_rng(1)
    stream, frames = model.stream(), random.integers(0, 256, (5, 16, 16, 3), np.uint8)
    first = [stream.push(frame) for frame in frames]
    stream.reset()
    assert [stream.push(frame) for frame in frames] == first and first[0] != first[1]
    assert first[-1] == pytest.approx(model.predict([frames])[0].probabilities, abs=1e-6)
    with pytest.raises(UserError, match=r"a clip got the shape \(16, 16, 3\); needed are pixels \(frames, height, width, 3\)"):
        model.predict([frames[0]])


# --- making sound


@pytest.mark.parametrize("settings", MAKERS, ids=str)
def test_the_same_sound_is_made(opened, settings, tmp_path):
    run, prompt = maker(**settings), noise(0.05, 4000)
    (tmp_path / "notes.tsv").write_text("0\t0.02\t60\n0.03\t1\t64\n")
    led = {"label": "harp"} if settings.get("labels") else {}
    led |= {"guide": str(tmp_path / "notes.tsv")} if "guide_by" in settings else {}
    model = opened(run)
    for options in ({"seed": 3}, {"seed": 4, "streams": 2, "temperature": 0.7, "top_p": 0.8}, {"temperature": 0.0}):
        given = led | options | {"seconds": 0.08}
        wanted = wavenet.generate(run, wavenet.Sample(**given), prompt)
        found = model.sample(making.Sample(**given), (prompt, 4000))
        assert found.shape == wanted.shape == (options.get("streams", 1), 520)
        assert np.abs(found - wanted).max() < 1e-4
        assert len(np.unique(found[:, 200:])) > 9 or options == {"temperature": 0.0}
    first = [next(stream) for stream in [model.stream(making.Sample(**given), (prompt, 4000))]]
    assert first[0][0] == found[0, 200]
    if led:
        with pytest.raises(UserError, match=r"this run (makes sound for a label|is led by notes)"):
            model.sample(making.Sample())
    else:
        with pytest.raises(UserError, match="this run was trained without a guide"):
            model.sample(making.Sample(guide="notes.tsv"))


# --- what is needed

BLOCKED = """
import sys, time
blocked = {"torch", "numba", "llvmlite", "accelerate", "onnx", "psutil", "safetensors"}
sys.modules.update(dict.fromkeys(blocked))  # an import of one of them is an ImportError
import numpy
began = time.process_time()  # of this process alone, however busy the machine is
from unrolled import runtime
print(time.process_time() - began)
model = runtime.load(sys.argv[1])
if hasattr(model, "levels"):
    print(model.sample(runtime.wavenet.Sample(seconds=0.01, seed=1)).sum())
elif hasattr(model, "sample"):
    print(repr(model.sample(runtime.Sample(temperature=0, length=20))[0]))
else:
    tone, grey = (numpy.sin(numpy.arange(8000.0)), 8000), numpy.full((20, 20, 3), 99, numpy.uint8)
    grey = grey[None] if hasattr(model, "over") else grey
    print(model.predict([tone if hasattr(model, "rate") else grey if hasattr(model, "size") else "he said"]))
"""


@pytest.mark.parametrize(
    "run",
    [writer(), reader(), tagger(), translator(), hearer(), None, captioner(), watcher(), maker()],
    ids=["language", "classify", "tag", "translate", "trigger", "speech", "caption", "video", "wavenet"],
)
def test_neither_torch_nor_numba_is_needed(run, tmp_path):
    run = run or talker(tmp_path)
    export.export(run, tmp_path / "made.onnx")
    root = Path(runtime.__file__).parent.parent.parent
    command = [sys.executable, "-c", BLOCKED, str(tmp_path / "made.onnx")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, timeout=60)
    assert done.stderr == "" and done.returncode == 0
    seconds, answer = done.stdout.splitlines()
    assert float(seconds) < 0.5
    model = runtime.load(tmp_path / "made.onnx")
    if hasattr(model, "levels"):
        assert answer == str(model.sample(making.Sample(seconds=0.01, seed=1)).sum())
    elif hasattr(model, "sample"):
        assert answer == repr(model.sample(Sample(temperature=0, length=20))[0])
    else:
        tone, grey = (np.sin(np.arange(8000.0)), 8000), np.full((20, 20, 3), 99, np.uint8)
        grey = grey[None] if hasattr(model, "over") else grey
        asked = tone if hasattr(model, "rate") else grey if hasattr(model, "size") else "he said"
        assert answer == str(model.predict([asked]))


def test_what_is_no_exported_file_is_said(tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"there is no exported file `.*none.onnx`"):
        runtime.load(tmp_path / "none.onnx")
    (tmp_path / "bad.onnx").write_bytes(b"bad")
    with pytest.raises(UserError, match=r"onnxruntime cannot open `.*bad.onnx`"):
        runtime.load(tmp_path / "bad.onnx")
    graph = export.Builder()
    graph.output("y", graph.real("x", (1,)), (1,))
    (tmp_path / "other.onnx").write_bytes(graph.model({}).SerializeToString())
    with pytest.raises(UserError, match=r"`.*other.onnx` was not written by `unrolled export`"):
        runtime.load(tmp_path / "other.onnx")
    (tmp_path / "newer.onnx").write_bytes(graph.model({"unrolled": '{"format": 2}'}).SerializeToString())
    with pytest.raises(UserError, match=r"`.*newer.onnx` has format 2; this version reads 1"):
        runtime.load(tmp_path / "newer.onnx")
    about = '{"format": 1, "task": "dance", "parts": [], "codec": {"kind": "bytes", "symbols": [], "labels": [], ' \
            '"tokenizer": null, "records": false}, "settings": {}}'  # fmt: skip
    (tmp_path / "dance.onnx").write_bytes(graph.model({"unrolled": about}).SerializeToString())
    with pytest.raises(UserError, match=r"`.*dance.onnx` is of the task `dance`"):
        runtime.load(tmp_path / "dance.onnx")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UserError, match="`onnxruntime` is not installed; exported files need it") as caught:
        runtime.load(tmp_path / "other.onnx")
    assert caught.value.code == 3


def test_a_file_of_a_task_that_is_not_known_is_refused(opened, monkeypatch):
    monkeypatch.delitem(runtime.KINDS, "classify")
    with pytest.raises(UserError, match="is of the task `classify`; this version runs language, tag, translate"):
        opened(reader())


@pytest.mark.parametrize(
    "about", ["{", "[1]", "{}", '{"format": "a"}', '{"format": 1, "task": "classify", "codec": 3}', "[" * 100_000]
)
def test_a_file_with_damaged_metadata_is_refused(opened, about, tmp_path):
    import onnx

    opened(reader())
    model = onnx.load(tmp_path / "made.onnx")
    (kept,) = [entry for entry in model.metadata_props if entry.key == "unrolled"]
    kept.value = about
    onnx.save(model, tmp_path / "other.onnx")
    with pytest.raises(UserError, match=r"the metadata of `.*other.onnx` are damaged"):
        runtime.load(tmp_path / "other.onnx")
