"""Serving: answers equal those of Python, streams those of whole files, limits hold, nothing leaves that should not."""

import asyncio
import base64
import dataclasses
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest
from chromium import PATIENCE, SHOWN, browser, chromium, opened, typed, until

from unrolled import api, coloured_shapes, formants, serve, tasks
from unrolled.config import build
from unrolled.data import pictures, sound
from unrolled.errors import MISSING_EXTRA, UserError
from unrolled.serve import guard, named
from unrolled.serve.options import Serve
from unrolled.vectors import Vectors

pytest.importorskip("fastapi", reason="serving needs the extra `serve`")
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from unrolled.serve import answers, pcm, record
from unrolled.serve.worker import Work, Worker, one_by_one

SOUND = {"cycles": 1, "layers": 5, "residual": 8, "skip": 8, "batch": 2, "length": 256}
SECRET = "a-token-of-the-tests"


# --- runs


def make(task, folder, data, **settings):
    return api.train(task, data, out=folder / task, quiet=True, **settings)


def spoken(folder):
    """A few recordings of two words, and a table of what is said."""
    random, rows = np.random.default_rng(1), ["audio\ttext\n"]
    for i in range(8):
        word, kind = (("kamito", "positive"), ("solu", "negative"))[i % 2]
        (folder / kind).mkdir(parents=True, exist_ok=True)
        sound.write(folder / kind / f"{i}.wav", formants.say(word, formants.voice(random), random), formants.RATE)
        rows.append(f"{kind}/{i}.wav\t{word}\n")
    (folder / "clips.tsv").write_text("".join(rows))
    return folder


def shapes(folder):
    folder.mkdir()
    drawn = [coloured_shapes.draw(np.random.default_rng(i)) for i in range(12)]
    for i, one in enumerate(drawn):
        (folder / f"{i}.png").write_bytes(pictures.png(one.pixels))
    table = folder / "captions.tsv"
    table.write_text("picture\tcaption\n" + "".join(f"{i}.png\t{one.caption}\n" for i, one in enumerate(drawn)))
    return [folder, table]


def strips(folder):
    folder.mkdir()
    for i in range(16):
        shown = np.concatenate([np.full((16, 16, 3), level, np.uint8) for level in range(0, 250, 60)][:: 1 - 2 * (i % 2)], 1)
        (folder / f"{i}.png").write_bytes(pictures.png(shown))
    (folder / "labels.tsv").write_text("clip\tway\n" + "".join(f"{i}.png\t{'up' if i % 2 else 'down'}\n" for i in range(16)))
    return [folder, folder / "labels.tsv"]


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """Runs that read and write text."""
    folder = tmp_path_factory.mktemp("texts")
    (folder / "book.txt").write_text("the cat sat on the mat.\n" * 900)
    small = {"device": "cpu", "evaluations": 1}
    said = {"1": "cold and rude", "5": "lovely and warm"}
    reviews = "".join(f"the soup {i} was {said[star]},{star}\n" for i in range(40) for star in said)
    (folder / "reviews.csv").write_text("review,stars\n" + reviews)
    (folder / "a.en").write_text("".join(f"the {i} cats sleep\n" for i in range(60)))
    (folder / "a.de").write_text("".join(f"die {i} Katzen schlafen\n" for i in range(60)))
    (folder / "words.txt").write_text("man king paris\nwoman queen rome\nred blue green\n" * 300)
    runs = [
        make("language", folder, folder / "book.txt", steps=20, hidden=16, **small),
        make("classify", folder, folder / "reviews.csv", steps=20, hidden=8, embedding=8, **small),
        make("tag", folder, tasks.load("tag").demo(folder), steps=20, hidden=8, embedding=8, **small),
        make("translate", folder, [folder / "a.en", folder / "a.de"], steps=20, hidden=16, embedding=8, symbols="words", **small),
        make("embed", folder, folder / "words.txt", dimensions=8, epochs=2, min_count=2, threads=1),
    ]
    return {run.folder.name: run for run in runs}


@pytest.fixture(scope="module")
def media(tmp_path_factory):
    """Runs that see and hear."""
    folder = tmp_path_factory.mktemp("media")
    clips, small = spoken(folder / "clips"), {"device": "cpu", "evaluations": 1}
    trigger = {"positive": (str(clips / "positive"),), "negative": (str(clips / "negative"),)}
    runs = [
        make("caption", folder, shapes(folder / "shapes"), steps=4, hidden=16, width=8, size=16, stages=2, embedding=8, **small),
        make("video", folder, strips(folder / "strips"), label="way", steps=2, hidden=8, features=8, channels=8, **small),
        make("trigger", folder, (), steps=10, hidden=16, channels=16, stride=5, example=4.0, batch=4, **trigger, **small),
        make("speech", folder, clips / "clips.tsv", steps=4, hidden=16, channels=16, direction="forward", **small),
        make("wavenet", folder, clips / "positive", steps=2, **SOUND, **small),
    ]
    return {run.folder.name: run for run in runs}


# --- a server, and who asks it


class Answer(NamedTuple):
    status: int
    headers: dict
    body: bytes

    @property
    def data(self):
        return json.loads(self.body)


class Caller(NamedTuple):
    host: str
    port: int
    served: serve.Served

    def ask(self, path, data=None, kind="application/json", method=None, **headers):
        connection = http.client.HTTPConnection(self.host, self.port, timeout=PATIENCE)
        body = data if data is None or isinstance(data, bytes) else json.dumps(data)
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method or ("GET" if data is None else "POST"), path, body, {"content-type": kind} | given)
        answer = connection.getresponse()
        found = Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        connection.close()
        return found

    def stream(self, path, **settings):
        return connect(f"ws://{self.host}:{self.port}{path}", open_timeout=PATIENCE, max_size=None, **settings)


@contextmanager
def serving(runs, **options):
    served = serve.prepared(runs, Serve(port=0, **options))
    thread = threading.Thread(target=served.server.run, args=([served.listening],))
    with ExitStack() as after:
        after.callback(thread.join, PATIENCE)
        after.callback(setattr, served.server, "should_exit", True)
        thread.start()
        until(lambda: served.server.started)
        yield Caller("127.0.0.1", served.listening.getsockname()[1], served)
    assert [worker.close(PATIENCE) for worker in served.workers] == [True] * len(runs)


@pytest.fixture(scope="module")
def reader(texts):
    with serving(texts) as caller:
        yield caller


@pytest.fixture(scope="module")
def seer(media):
    with serving(media) as caller:
        yield caller


def pretending(run, answer):
    """A classifier's run whose answers to texts come from a function."""
    page = SimpleNamespace(**vars(run.task))
    page.predict = lambda run, texts, options: answer(texts)
    return run._replace(task=page)


# --- served equals eager


@pytest.mark.parametrize("task", ["classify", "tag", "translate"])
def test_texts_are_answered_as_in_python(reader, texts, task):
    run = texts[task]
    asked = ["He said Teddy sings", "the soup 3 was cold", "the 5 cats sleep", "", "ünïcode 𝄞"]
    answered = reader.ask(f"/{task}/predict", {"texts": asked}).data["answers"]
    assert answered == answers.plain(run.task.predict(run, asked, run.task.Predict()))


def test_what_each_word_did_is_answered_as_in_python(reader, texts):
    run, asked = texts["classify"], ["the soup was cold"]
    answered = reader.ask("/classify/predict", {"texts": asked, "evidence": True}).data["answers"]
    assert answered == answers.plain(run.task.predict(run, asked, run.task.Predict(evidence=True)))
    assert len(answered[0]["evidence"]) == 4


def test_a_text_is_written_as_in_python(reader, texts):
    run, options = texts["language"], {"prompt": "the ", "length": 40, "seed": 3, "temperature": 0.9, "top_k": 5}
    written = reader.ask("/language/sample", options | {"number": 3}).data["texts"]
    assert written == run.task.samples(run, run.task.Sample(**options, number=3))
    assert len(set(written)) > 1


def test_a_text_is_scored_as_in_python(reader, texts):
    run, text = texts["language"], "the cat"
    found = reader.ask("/language/score", {"text": text}).data
    ids = run.codec.encode(text)
    nats = run.task.score(run, ids, len(text), run.task.Score()).nats
    assert "".join(one["text"] for one in found["symbols"]) == text
    assert np.allclose([-np.log(one["probability"]) for one in found["symbols"]], nats, atol=1e-4)
    assert sum(p for _, p in found["next"]) <= 1 and found["next"][0][1] == max(p for _, p in found["next"])


def test_where_a_translator_looked_is_answered_as_in_python(reader, texts):
    run = texts["translate"]
    found, seen = reader.ask("/translate/look", {"text": "the 5 cats"}).data, run.task.look(run, "the 5 cats")
    assert (found["source"], found["written"]) == (seen.source, seen.written)
    assert np.allclose(found["weights"], seen.weights, atol=1e-4)


def test_words_are_answered_as_in_python(reader, texts):
    vectors = Vectors.open(texts["embed"].folder)
    near = reader.ask("/embed/nearest", {"word": "king", "number": 3}).data["nearest"]
    assert near == answers.plain(vectors.nearest("king", 3))
    like = reader.ask("/embed/analogy", {"a": "man", "b": "king", "c": "woman", "number": 2}).data["answers"]
    assert like == answers.plain(vectors.analogy("man", "king", "woman", 2))
    placed = reader.ask("/embed/map", {"words": 5}).data
    assert [point[0] for point in placed["points"]] == vectors.words[:5] and placed["by"] == "the two main axes"
    unknown = reader.ask("/embed/nearest", {"word": "kinng"})
    assert unknown.status == 422 and "king" in unknown.data["error"]["message"] + unknown.data["error"].get("next", "")


def test_a_picture_is_answered_as_in_python(seer, media, tmp_path):
    run, path = media["caption"], tmp_path / "one.png"
    path.write_bytes(pictures.png(coloured_shapes.draw(np.random.default_rng(5)).pixels))
    found = seer.ask("/caption/predict?beam=3&best=2", path.read_bytes(), "image/png").data
    assert found == answers.plain(run.task.predict(run, [path], run.task.Predict(beam=3, best=2)))[0]
    looked, seen = seer.ask("/caption/look", path.read_bytes(), "image/png").data, run.task.look(run, str(path))
    assert looked["words"] == seen.words and np.allclose(looked["weights"], seen.weights, atol=1e-4)


def test_a_clip_is_answered_as_in_python(seer, media):
    run = media["video"]
    path = run.folder.parent / "strips" / "3.png"
    found = seer.ask("/video/predict?each=true", path.read_bytes(), "image/png").data
    (wanted,) = run.task.predict(run, [run.task.opened(run, path)], run.task.Predict(each=True))
    assert found == answers.plain(wanted) and len(found["frames"]) > 1


@pytest.mark.parametrize("task", ["trigger", "speech"])
def test_a_recording_is_answered_as_in_python(seer, media, task):
    run = media[task]
    path = run.folder.parent / "clips" / "positive" / "0.wav"
    found = seer.ask(f"/{task}/predict", path.read_bytes(), "audio/wav").data
    assert found == answers.plain(run.task.predict(run, [path], run.task.Predict()))[0]


def test_a_sound_is_made_as_in_python(seer, media, tmp_path):
    run, path = media["wavenet"], tmp_path / "made.wav"
    path.write_bytes(seer.ask("/wavenet/sample", {"seconds": 0.2, "seed": 4}).body)
    (made,) = run.task.generate(run, run.task.Sample(seconds=0.2, seed=4), np.zeros(0, np.float32))
    assert np.abs(sound.read(path, run.config.hertz) - np.clip(made, -1, 32767 / 32768)).max() <= 0.51 / 32768


# --- streams equal what is whole


def received(socket):
    """Messages up to the last."""
    found = []
    while True:
        message = socket.recv(timeout=PATIENCE)
        found.append(message if isinstance(message, bytes) else json.loads(message))
        if found[-1] == {"done": True}:
            return found[:-1]


def test_a_text_is_streamed_as_it_is_written_whole(reader, texts):
    run, options = texts["language"], {"prompt": "the ", "length": 50, "seed": 3, "temperature": 0.9}
    with reader.stream("/language/stream") as socket:
        for _ in range(2):  # one socket may be asked again
            socket.send(json.dumps(options))
            found = received(socket)
            assert "".join(one["text"] for one in found) == "".join(run.task.sample(run, run.task.Sample(**options)))
    assert all(0 < one["probability"] <= 1 for one in found)
    whole = reader.ask("/language/score", {"text": "the " + "".join(one["text"] for one in found)}).data["symbols"][4:]
    assert np.allclose([one["probability"] for one in found], [one["probability"] for one in whole], atol=1e-5)


def test_a_stream_ends_when_it_is_asked_to(reader):
    with reader.stream("/language/stream") as socket:
        socket.send('{"length": 4096}')
        first = socket.recv(timeout=PATIENCE)
        socket.send('{"stop": true}')
        socket.send('{"length": 1, "seed": 1}')
        until_done = received(socket)
    assert "text" in json.loads(first) and len(until_done) < 4096


def test_texts_that_are_streamed_side_by_side_are_multiplied_together_and_stay_themselves(texts):
    run, sizes = texts["language"], []
    asked = [{"prompt": "the ", "length": 40 + 9 * i, "seed": i, "temperature": 0.5 + i / 8} for i in range(4)]

    def counted(run, going, number):
        sizes.append(len(going))
        time.sleep(0.01)  # the others are here by then
        return run.task.write_on(run, going, number)

    page = SimpleNamespace(**vars(run.task))
    page.write_on = lambda _, going, number: counted(run, going, number)
    found = [None] * len(asked)

    def follow(caller, i):
        with caller.stream("/book/stream") as socket:
            socket.send(json.dumps(asked[i]))
            found[i] = "".join(one["text"] for one in received(socket))

    with serving({"book": run._replace(task=page)}) as caller:
        threads = [threading.Thread(target=follow, args=(caller, i)) for i in range(len(asked))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
    assert found == ["".join(run.task.sample(run, run.task.Sample(**one))) for one in asked]
    assert max(sizes) > 1


def test_a_sound_is_streamed_as_it_is_made_whole(seer, media):
    run = media["wavenet"]
    with seer.stream("/wavenet/stream") as socket:
        socket.send('{"seconds": 0.6, "seed": 4}')
        first, *parts = received(socket)
    (made,) = run.task.generate(run, run.task.Sample(seconds=0.6, seed=4), np.zeros(0, np.float32))
    assert first == {"hertz": run.config.hertz} and len(parts) > 1
    assert b"".join(parts) == pcm.pack(made)


def listened(caller, path, samples, size, **asked):
    with caller.stream(path) as socket:
        socket.send(json.dumps(asked))
        for begin in range(0, len(samples), size):
            socket.send(pcm.pack(samples[begin : begin + size]))
        socket.send('{"end": true}')
        return received(socket)


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    random, path = np.random.default_rng(7), tmp_path_factory.mktemp("words") / "words.wav"
    parts = [formants.say(word, formants.voice(random), random) for word in ("kamito", "solu", "kamito")]
    sound.write(path, np.concatenate(parts), formants.RATE)
    return path


def test_a_word_is_heard_in_a_stream_as_in_the_file(seer, media, words):
    run = media["trigger"]
    samples = sound.read(words, run.model.logmel.rate)
    first, *heard = listened(seer, "/trigger/listen", samples, 700, threshold=0.001)
    net = run.task.at_threshold(run.task.detector(run.model), 0.001)
    assert first == {"hertz": net.rate, "threshold": 0.001}
    wanted = net(samples, net.start())
    probabilities, events, times = ([x for one in heard for x in one[name]] for name in ("probabilities", "events", "times"))
    assert np.allclose(probabilities, wanted[0], atol=1e-4)
    assert events == [run.task.told_of(event) for event in wanted[1]] and events
    assert np.allclose(times, net.offset + net.hop * np.arange(1, len(wanted[0]) + 1), atol=1e-3)


def test_the_client_of_the_docs_listens(media, words, monkeypatch, capsys):
    page = (Path(__file__).parents[1] / "docs" / "serve.md").read_text()
    (client,) = re.findall("```py\n(.*?)```", page, re.S)
    monkeypatch.chdir(words.parent)
    with serving({"alexa": media["trigger"]}) as caller:
        exec(client.replace("localhost:8000", f"{caller.host}:{caller.port}"), {})
    first, *heard, last = capsys.readouterr().out.splitlines()
    assert "'hertz'" in first and heard[0].startswith("[") and last == "None"  # of what is done


def test_speech_is_read_in_a_stream_as_in_the_file(seer, media, words):
    run = media["speech"]
    rate = run.model.logmel.rate
    samples = sound.read(words, rate)
    first, *heard = listened(seer, "/speech/listen", samples, round(run.task.EVERY * rate))
    assert first == {"hertz": rate}
    assert heard == list(run.task.listen(run, str(words), run.task.Listen()))


def test_streams_side_by_side_do_not_touch_each_other(seer, media, words):
    run = media["trigger"]
    samples = sound.read(words, run.model.logmel.rate)
    alone = listened(seer, "/trigger/listen", samples, 1600)
    found = [None] * 8

    def listen(i):
        found[i] = listened(seer, "/trigger/listen", samples, 1600)

    threads = [threading.Thread(target=listen, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert found == [alone] * 8


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ("{", "the message: Invalid JSON"),
        ('{"threshold": 2}', "threshold: Input should be less than or equal to 1"),
        ('{"file": "/etc/passwd"}', "file: Extra inputs are not permitted"),
    ],
)
def test_a_stream_that_is_not_understood_is_closed(seer, sent, said):
    with seer.stream("/trigger/listen") as socket:
        socket.send(sent)
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=PATIENCE)
    assert closed.value.rcvd.code == 1003 and closed.value.rcvd.reason.startswith(said)


@pytest.mark.parametrize(("sent", "said"), [(b"abc", "the number of bytes is odd"), ("abc", "sound comes as bytes")])
def test_sound_that_is_none_closes_its_stream(seer, sent, said):
    with seer.stream("/trigger/listen") as socket:
        socket.send("{}")
        assert "hertz" in json.loads(socket.recv(timeout=PATIENCE))
        socket.send(sent)
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=PATIENCE)
    assert closed.value.rcvd.code == 1003 and said in closed.value.rcvd.reason


def test_a_mistake_in_what_is_to_be_written_is_told_in_the_stream(reader, texts):
    with serving({"wavenet": texts["language"]}) as caller, caller.stream("/wavenet/stream") as socket:
        socket.send('{"label": "five"}')
        assert "five" in json.loads(socket.recv(timeout=PATIENCE))["error"]["message"]


# --- who may ask


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "10.0.0.7", "", "[::1", "localhost.evil.example"])
def test_a_host_that_is_not_this_one_is_refused(reader, host):
    refused = reader.ask("/runs", host=host)
    assert refused.status in (400, 403)  # 400: what is no host at all, by the HTTP server
    assert b"runs" not in refused.body


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1", "[::1]:80"])
def test_this_machine_may_be_called_by_its_names(reader, host):
    assert reader.ask("/healthz", host=host).data == {"status": "ok"}


def test_a_page_elsewhere_is_refused(reader):
    ours = f"{reader.host}:{reader.port}"
    assert reader.ask("/runs", origin=f"http://{ours}").status == 200
    for other in ("http://evil.example", "null", f"http://{ours}.evil.example", "http://127.0.0.1:1", "http://["):
        refused = reader.ask("/runs", origin=other)
        assert refused.status == 403 and "the Origin header names another page" in refused.data["error"]["message"]
        with pytest.raises(InvalidStatus, match="403"):
            reader.stream("/language/stream", origin=other)


def test_a_token_is_asked_for_where_there_is_one(texts):
    with serving({"stars": texts["classify"]}, token=SECRET) as caller:
        for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": f"Basic {SECRET}"}):
            refused = caller.ask("/stars/predict", {"texts": ["a"]}, **headers)
            assert refused.status == 401 and refused.headers["www-authenticate"] == "Bearer"
        assert caller.ask("/stars/predict", {"texts": ["a"]}, authorization=f"Bearer {SECRET}").status == 200
        assert [caller.ask(path).status for path in ("/", "/healthz")] == [200, 200]
        assert [caller.ask(path).status for path in ("/metrics", "/runs", "/openapi.json")] == [401, 401, 401]


def test_a_stream_shows_its_token_as_a_protocol(texts):
    with serving({"book": texts["language"]}, token=SECRET) as caller:
        with pytest.raises(InvalidStatus, match="401"):
            caller.stream("/book/stream")
        with caller.stream("/book/stream", subprotocols=["unrolled", f"token.{SECRET}"]) as socket:
            assert socket.subprotocol == "unrolled"
            socket.send('{"length": 3}')
            assert len(received(socket)) == 3


def test_others_are_let_in_with_a_token_alone():
    with pytest.raises(UserError, match=r"`--host 0\.0\.0\.0` lets others ask; a token is needed there"):
        guard.check_token("0.0.0.0", None)
    for token in ("short", "a token with blanks and more", "é" * 20):
        with pytest.raises(UserError, match="`--token` must have at least 16 letters"):
            guard.check_token("127.0.0.1", token)
    guard.check_token("0.0.0.0", SECRET)
    for host in ("127.0.0.1", "127.3.2.1", "::1", "localhost"):
        guard.check_token(host, None)


def test_off_this_machine_addresses_and_allowed_names_are_taken():
    app = guard.Guard(
        None, False, SECRET, ("0.0.0.0", "models.example"), record.Meters(), lambda path: {}, lambda path: None, "", 1
    )
    assert [app._known(host) for host in ("192.168.1.5:80", "models.example", "evil.example", "")] == [True, True, False, False]


# --- limits


def test_a_body_that_is_too_large_is_refused(texts):
    with serving({"stars": texts["classify"]}, body=0.01) as caller:
        assert caller.ask("/stars/predict", {"texts": ["a" * 5000]}).status == 200
        refused = caller.ask("/stars/predict", {"texts": ["a" * 20_000]})
        assert refused.status == 413 and refused.data["id"] == refused.headers["x-request-id"]
        connection = http.client.HTTPConnection(caller.host, caller.port, timeout=PATIENCE)  # of no length told in front
        connection.request(
            "POST", "/stars/predict", iter([b"a" * 5000] * 4), {"content-type": "application/json"}, encode_chunked=True
        )
        assert connection.getresponse().status == 413
        connection.close()


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/classify/predict", {"texts": []}),
        ("/classify/predict", {"texts": ["a"] * 65}),
        ("/classify/predict", {"texts": ["a" * 32_769]}),
        ("/classify/predict", {"texts": ["a"], "column": "x"}),
        ("/translate/predict", {"texts": ["a"], "beam": 33}),
        ("/translate/predict", {"texts": ["a"], "beam": 2, "best": 3}),
        ("/translate/predict", {"texts": ["a"], "glossary": "/etc/passwd"}),
        ("/translate/predict", {"texts": ["a"], "beside": ["../other"]}),
        ("/language/sample", {"length": 4097}),
        ("/language/sample", {"number": 17}),
        ("/language/sample", {"temperature": float("nan")}),
        ("/language/sample", {"beam": 33}),
        ("/language/score", {"text": 5}),
        ("/embed/nearest", {"word": "king", "number": 65}),
        ("/embed/map", {"words": 5001}),
        ("/language/score", []),
    ],
)
def test_what_is_too_much_or_not_taken_is_refused(reader, path, asked):
    refused = reader.ask(path, asked)
    assert refused.status == 422
    assert set(refused.data) == {"error", "id"} and "/etc/passwd" not in refused.body.decode()


@pytest.mark.parametrize(
    ("path", "body", "kind", "said"),
    [
        ("/caption/predict", b"no picture", "image/png", "the picture is not a picture that can be read"),
        ("/caption/predict", b"no picture", "text/html", "the content-type is `text/html`"),
        ("/caption/look", b"\x89PNG\r\n\x1a\n", "image/png", "the picture"),
        ("/caption/predict?file=/etc/passwd", b"", "image/png", "file: Extra inputs are not permitted"),
        ("/video/predict", b"GIF89a", "image/gif", "the clip"),
        ("/trigger/predict", b"RIFF", "audio/wav", "the sound is not read as sound"),
        ("/speech/predict", b"", "audio/wav", "the sound"),
        ("/speech/predict?lm=/etc/passwd", b"", "audio/wav", "lm: Extra inputs are not permitted"),
    ],
)
def test_a_file_that_is_none_is_told_without_a_path(seer, path, body, kind, said):
    refused = seer.ask(path, body, kind)
    assert refused.status == 422 and said in refused.data["error"]["message"]
    assert "/tmp" not in refused.body.decode()


def test_a_bad_file_harms_no_good_one(media):
    good = pictures.png(coloured_shapes.draw(np.random.default_rng(5)).pixels), "image/png"
    endpoint = answers.endpoints(media["caption"])[0]
    one, bad, other = endpoint.answer([good, (b"none", "image/png"), good], media["caption"].task.Predict())
    assert isinstance(bad, UserError) and one == other and one["text"]


def test_a_sound_longer_than_allowed_is_refused(media, monkeypatch):
    monkeypatch.setattr(answers.most, "SECONDS", 0.5)
    endpoint = answers.endpoints(media["trigger"])[0]  # its example lasts a second
    (refused,) = endpoint.answer([endpoint.example], media["trigger"].task.Predict())
    assert "lasts 1.0 s; allowed are 0.5" in refused.what


def test_too_many_that_wait_are_sent_away_at_once_and_the_others_answered(texts):
    held = threading.Event()
    slow = pretending(texts["classify"], lambda texts: [held.wait(PATIENCE) and text for text in texts])
    held.set()
    with serving({"stars": slow}, queue=2) as caller:
        held.clear()
        found = []
        threads = [
            threading.Thread(target=lambda i=i: found.append(caller.ask("/stars/predict", {"texts": [str(i)]}))) for i in range(2)
        ]
        for thread in threads:
            thread.start()
        until(lambda: caller.served.workers[0].waiting == 2)
        began = time.monotonic()
        refused = caller.ask("/stars/predict", {"texts": ["c"]})
        assert time.monotonic() - began < 5  # the 100 ms that are promised are measured on a quiet machine
        assert refused.status == 429 and int(refused.headers["retry-after"]) >= 1
        held.set()
        for thread in threads:
            thread.join(PATIENCE)
    assert sorted(answer.data["answers"][0] for answer in found) == ["0", "1"]


def test_an_answer_that_is_late_is_not_waited_for(texts):
    held = threading.Event()
    calls = []

    def answer(some):
        calls.append(some)
        held.wait(PATIENCE)
        return some

    held.set()
    with serving({"stars": pretending(texts["classify"], answer)}, deadline=0.2) as caller:
        held.clear()
        late = [caller.ask("/stars/predict", {"texts": [text]}) for text in ("first", "second")]
        assert [answer.status for answer in late] == [504, 504] and "no answer by the deadline" in late[0].data["error"][
            "message"
        ]
        held.set()
        until(lambda: caller.ask("/stars/predict", {"texts": ["third"]}).status == 200)
    assert ["second"] not in calls  # nobody waited for it when its turn came


def test_what_waits_is_answered_in_one_call(texts):
    held, calls = threading.Event(), []

    def answer(some):
        calls.append(list(some))
        held.wait(PATIENCE)
        return some

    held.set()
    with serving({"stars": pretending(texts["classify"], answer)}) as caller:
        held.clear()
        calls.clear()
        found = {}

        def ask(text):
            found[text] = caller.ask("/stars/predict", {"texts": [text, text + "!"]}).data["answers"]

        threads = [threading.Thread(target=ask, args=(f"text {i}",)) for i in range(9)]
        threads[0].start()
        until(lambda: calls)
        for thread in threads[1:]:
            thread.start()
        until(lambda: caller.served.workers[0].waiting == 9)
        held.set()
        for thread in threads:
            thread.join(PATIENCE)
        metrics = caller.ask("/metrics").body.decode()
    assert [len(some) for some in calls] == [2, 16]
    assert found == {f"text {i}": [f"text {i}", f"text {i}!"] for i in range(9)}
    assert 'unrolled_items_total{run="stars"} 18' in metrics and 'unrolled_calls_total{run="stars"} 2' in metrics


def test_one_bad_request_in_a_batch_is_no_other_s_fault():
    def answer(some):
        if "bad" in some:
            raise UserError("the text is bad")
        return [text.upper() for text in some]

    worker = Worker("test", 10, PATIENCE)
    work = Work(answer, "upper")

    async def ask():
        asked = [asyncio.ensure_future(worker.ask(work, [text])) for text in ("a", "b", "bad", "c")]
        return await asyncio.gather(*asked, return_exceptions=True)

    *good, bad, last = asyncio.run(ask())
    assert (good, last) == ([["A"], ["B"]], ["C"]) and bad.what == "the text is bad"
    assert worker.close(PATIENCE)


def test_a_stream_that_fails_takes_no_turn_from_another():
    held, turns, worker = threading.Event(), [], Worker("test", 10, PATIENCE)

    def turn(name):
        turns.append(name)
        if name == "bad":
            raise UserError("this one is bad")
        return name

    async def ask():
        work = [(Work(one_by_one(lambda _: held.wait(PATIENCE)), "held"), None)]
        work += [(Work(one_by_one(turn), "turn"), name) for name in ("a", "bad", "b")]
        asked = [asyncio.ensure_future(worker.ask(each, [item])) for each, item in work]
        await asyncio.sleep(0.01)
        held.set()
        return await asyncio.gather(*asked, return_exceptions=True)

    _, a, bad, b = asyncio.run(ask())
    assert (a, b) == (["a"], ["b"]) and bad.what == "this one is bad"
    assert turns == ["a", "bad", "b"] and worker.close(PATIENCE)


def test_a_silent_stream_is_closed(texts):
    with (
        serving({"book": texts["language"]}, idle=0.2) as caller,
        caller.stream("/book/stream") as socket,
        pytest.raises(ConnectionClosed) as closed,
    ):
        socket.recv(timeout=PATIENCE)
    assert closed.value.rcvd.code == 1000 and "nothing came for 0.2 s" in closed.value.rcvd.reason


def test_more_streams_than_allowed_are_refused(texts):
    with serving({"book": texts["language"]}, streams=1) as caller, caller.stream("/book/stream") as socket:
        with pytest.raises(InvalidStatus, match="429"):
            caller.stream("/book/stream")
        socket.send('{"length": 2}')
        assert len(received(socket)) == 2
        assert 'unrolled_streams{run="book"} 1' in caller.ask("/metrics").body.decode()


def test_a_message_that_is_too_large_closes_its_stream(texts):
    with serving({"book": texts["language"]}, message=0.001) as caller, caller.stream("/book/stream") as socket:
        socket.send("a" * 2000)
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=PATIENCE)
    assert closed.value.rcvd.code == 1009


# --- nothing leaves


def test_a_fault_leaves_a_number_and_no_trace(texts, capfd):
    def answer(some):
        if "fault" in some[0]:
            raise ZeroDivisionError(f"what the user sent: {some[0]}")
        return some

    with serving({"stars": pretending(texts["classify"], answer)}) as caller:
        failed = caller.ask("/stars/predict", {"texts": ["fault of mine"]})
        assert caller.ask("/stars/predict", {"texts": ["fine"]}).data == {"answers": ["fine"]}
    number = failed.headers["x-request-id"]
    assert failed.status == 500
    assert failed.data == {"error": {"message": "something went wrong here; the log has it under this id"}, "id": number}
    logged = capfd.readouterr().err
    lines = [json.loads(line) for line in logged.splitlines()]
    (fault,) = [line for line in lines if line["event"] == "failure"]
    assert (
        fault["id"] == number and fault["kind"] == "ZeroDivisionError" and any("worker.py" in place for place in fault["places"])
    )
    assert "fault of mine" not in logged and "Traceback" not in logged


def test_logs_are_lines_of_json_without_what_was_sent(texts, capfd):
    with serving({"stars": texts["classify"]}) as caller:
        caller.ask("/stars/predict", {"texts": ["a private matter"]})
        caller.ask("/stars/predict?secret=private", {"texts": ["a private matter"], "private": 1})
        caller.ask("/private/predict", {"texts": []})
    logged = capfd.readouterr().err
    lines = [json.loads(line) for line in logged.splitlines()]
    told = [(line["run"], line["verb"], line["status"]) for line in lines if line["event"] == "request"]
    assert told == [("stars", "predict", "200"), ("stars", "predict", "422"), ("", "unknown", "404")]
    assert "private" not in logged


@pytest.mark.parametrize("path", ["/", "/runs", "/nothing", "/classify/predict"])
def test_every_answer_carries_what_guards_a_browser(reader, path):
    headers = reader.ask(path).headers
    assert headers["x-content-type-options"] == "nosniff" and headers["x-frame-options"] == "DENY"
    assert "default-src 'none'" in headers["content-security-policy"] and re.fullmatch("[0-9a-f]{16}", headers["x-request-id"])
    assert "server" not in headers and "access-control-allow-origin" not in headers


def test_examples_are_what_the_runs_really_answer(reader, texts):
    paths = reader.ask("/openapi.json").data["paths"]
    for name in ("classify", "tag", "translate"):
        (post,) = paths[f"/{name}/predict"].values()
        asked = post["requestBody"]["content"]["application/json"]["example"]
        told = post["responses"]["200"]["content"]["application/json"]["example"]
        assert reader.ask(f"/{name}/predict", asked).data == told
        assert {"401", "413", "422", "429", "504"} <= set(post["responses"])
    assert set(paths) >= {"/language/sample", "/language/score", "/embed/nearest", "/embed/analogy", "/embed/map", "/runs"}


def test_files_are_described_by_their_kinds(seer):
    paths = seer.ask("/openapi.json").data["paths"]
    assert set(paths["/trigger/predict"]["post"]["requestBody"]["content"]) == set(answers.KINDS["sound"])
    assert {one["name"] for one in paths["/caption/predict"]["post"]["parameters"]} >= {"beam", "best"}


def test_the_runs_tell_what_they_are(reader):
    runs = {run["name"]: run for run in reader.ask("/runs").data["runs"]}
    assert set(runs) == {"language", "classify", "tag", "translate", "embed"}
    assert runs["language"]["streams"] == ["stream"] and runs["classify"]["labels"] == ["1", "5"]


def test_every_task_is_served():
    assert set(answers.OF_TASK) == set(tasks.TASKS)


# --- the command


@pytest.mark.parametrize("folders", [["a/x", "b/x"], ["a/x", "a/x"]])
def test_two_runs_of_one_name_are_refused(folders):
    with pytest.raises(UserError, match="have one name: both would be at /x"):
        named(folders)


@pytest.mark.parametrize("folder", ["runs/my book", "healthz", "runs/ü", "."])
def test_a_name_that_is_no_address_is_refused(folder, tmp_path, monkeypatch):
    (tmp_path / "a b").mkdir()
    monkeypatch.chdir(tmp_path / "a b")
    with pytest.raises(UserError, match="cannot be served under its name"):
        named([folder])


def test_a_missing_extra_names_the_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "fastapi", None)
    with pytest.raises(UserError, match="serving needs `fastapi`, which is not installed") as refused:
        serve.check_packages()
    assert refused.value.code == MISSING_EXTRA and "unrolled[serve]" in refused.value.fix


def test_a_port_that_is_taken_is_told(reader, texts):
    with pytest.raises(UserError, match="cannot go on listening at"):
        serve.prepared({"stars": texts["classify"]}, Serve(port=reader.port))


def test_limits_are_checked():
    with pytest.raises(UserError, match="`--queue` got `0`; allowed is at least 1"):
        build(Serve, {"queue": 0})
    assert dataclasses.asdict(Serve())["host"] == "127.0.0.1"


@contextmanager
def process(folder, *options):
    """`unrolled serve` as a process, and where it listens."""
    command = [sys.executable, "-m", "unrolled", "serve", str(folder), "--port", "0", *options]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, env=environment, **pipes) as child, ExitStack() as after:
        after.callback(child.kill)
        found = re.match(r"http://127\.0\.0\.1:(\d+)/", child.stdout.readline())
        yield child, found and Caller("127.0.0.1", int(found[1]), None)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_end_it_finishes_what_it_was_asked_and_exits_0(texts, number):
    with process(texts["language"].folder) as (child, caller), caller.stream("/language/stream") as socket:
        socket.send('{"length": 10}')
        assert len(received(socket)) == 10
        found = []
        asked = {"length": 4096, "number": 2, "seed": 1}
        thread = threading.Thread(target=lambda: found.append(caller.ask("/language/sample", asked)))
        thread.start()
        until(lambda: 'unrolled_waiting{run="language"} 1' in caller.ask("/metrics").body.decode())
        began = time.monotonic()
        child.send_signal(number)
        assert child.wait(PATIENCE) == 0
        assert time.monotonic() - began < 5
        thread.join(PATIENCE)
        assert [(answer.status, len(answer.data["texts"])) for answer in found] == [(200, 2)]
        assert {json.loads(line)["event"] for line in child.stderr.read().splitlines()} == {"ready", "request", "ended"}


def test_a_host_of_others_is_refused_by_the_command(texts):
    with process(texts["language"].folder, "--host", "0.0.0.0") as (child, caller):
        assert child.wait(PATIENCE) == 2 and caller is None
        assert "a token is needed there" in child.stderr.read()


# --- the page, in the distribution's Chromium

DROPPED = """(async () => {
  const bytes = Uint8Array.from(atob("%s"), (c) => c.charCodeAt(0)), chosen = new DataTransfer();
  chosen.items.add(new File([bytes], "file", { type: "%s" }));
  const input = document.querySelector("[role=tabpanel]:not([hidden]) input[type=file]");
  input.files = chosen.files;
  input.dispatchEvent(new Event("change"));
})()"""


def pinched(tab, canvas):
    """Two fingers on a map go apart, and it is drawn anew."""
    x, y = tab.run(f"{{ {canvas}.scrollIntoView(); const box = {canvas}.getBoundingClientRect(); [box.x + 150, box.y + 150] }}")
    tab.wait(f"{SHOWN}.querySelectorAll('.bars').length === 2")  # nothing else is to be drawn
    tab.run("new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))")
    before = tab.run(f"{canvas}.toDataURL()")
    for kind, apart in (("touchStart", 20), ("touchMove", 40), ("touchMove", 80)):
        fingers = [{"x": x - apart, "y": y, "id": 0}, {"x": x + apart, "y": y, "id": 1}]
        tab.call("Input.dispatchTouchEvent", type=kind, touchPoints=fingers)
    tab.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
    tab.wait(f"{canvas}.toDataURL() !== {json.dumps(before)}")


@pytest.mark.browser
@browser
@pytest.mark.parametrize(("width", "dark"), [(1100, False), (360, True)])
def test_the_page_of_what_reads_and_writes(texts, tmp_path, width, dark):
    with serving(texts) as caller, chromium(tmp_path, f"http://127.0.0.1:{caller.port}/", width, dark) as tab:
        names = tab.run("[...document.querySelectorAll('[role=tab]')].map((one) => one.firstChild.data)")
        assert names == ["language", "classify", "tag", "translate", "embed"]
        tab.wait(f"{SHOWN}.querySelectorAll('.bars li').length >= 5")
        tab.run(f"{{ {SHOWN}.querySelector('input').value = 40; {SHOWN}.querySelector('button').click() }}")
        tab.wait(f"{SHOWN}.querySelectorAll('.out span:not(.given)').length === 40")
        tab.run(f"{SHOWN}.querySelector('.out').dispatchEvent(new KeyboardEvent('keydown', {{ key: 'ArrowRight' }}))")
        assert tab.run(f"{SHOWN}.querySelectorAll('.at').length") == 1
        tab.screenshot(f"language-{width}")
        opened(tab, "classify")
        typed(tab, "the soup was cold")
        tab.wait(f"[...{SHOWN}.querySelectorAll('.word')].map((one) => one.textContent).join(' ') === 'the soup was cold'")
        assert tab.run(f"{SHOWN}.querySelectorAll('.out .unseen').length") == 4  # what each did is not for a mouse alone
        tab.screenshot(f"classify-{width}")
        opened(tab, "tag")
        typed(tab, "𝄞 He said, Teddy was a great president!")
        tab.wait(f"{SHOWN}.querySelector('.out').textContent.startsWith('𝄞 He said, Teddy')")
        tab.screenshot(f"tag-{width}")
        opened(tab, "translate")
        typed(tab, "the 5 cats sleep")
        tab.wait(f"[...{SHOWN}.querySelectorAll('thead th')].map((one) => one.textContent).join(' ') === 'the 5 cats sleep'")
        tab.wait(f"{SHOWN}.querySelectorAll('tbody tr').length >= 1")
        assert tab.run(f"[...{SHOWN}.querySelectorAll('td + td, th + td')].every((one) => /^\\d.* %$/.test(one.textContent))")
        tab.screenshot(f"translate-{width}")
        opened(tab, "embed")
        tab.wait(f"{SHOWN}.querySelectorAll('.bars li').length >= 5 && {SHOWN}.textContent.includes('words, laid out by')")
        tab.screenshot(f"embed-{width}")
        pinched(tab, f"{SHOWN}.querySelector('.map')")
        tab.run("document.querySelector('[role=tab][aria-selected=true]').focus()")
        tab.run("document.activeElement.dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowRight', bubbles: true }))")
        assert tab.run("document.activeElement.firstChild.data") == "language"  # from the last to the first
        assert tab.run("document.documentElement.scrollWidth <= innerWidth")
        controls = "[...document.querySelectorAll('input, textarea, select, canvas')]"
        assert tab.run(f"{controls}.filter((one) => !one.labels?.length && !one.ariaLabel).map((one) => one.outerHTML)") == []
        assert tab.complaints == []


@pytest.mark.browser
@browser
def test_what_is_typed_while_a_text_is_written_ends_the_writing(texts, tmp_path):
    with serving({"book": texts["language"]}) as caller, chromium(tmp_path, f"http://127.0.0.1:{caller.port}/") as tab:
        button, shown = f"{SHOWN}.querySelector('button')", f"{SHOWN}.querySelector('.out').textContent"
        tab.wait(f"{shown}.length > 0")
        tab.run(f"{{ {SHOWN}.querySelector('input').value = 4096; {button}.click() }}")
        tab.wait(f"{SHOWN}.querySelectorAll('.out span:not(.given)').length > 3")
        typed(tab, "the dog")
        assert tab.run(f"{button}.textContent") == "Write"
        tab.wait(f"{shown} === 'the dog'")
        time.sleep(0.2)  # eight symbols of a text that is still written
        assert tab.run(shown) == "the dog" and tab.complaints == []
        until(lambda: 'unrolled_streams{run="book"} 0' in caller.ask("/metrics").body.decode())


@pytest.mark.browser
@browser
@pytest.mark.parametrize(("width", "dark"), [(1100, False), (380, True)])
def test_the_page_of_what_sees_and_hears(media, words, tmp_path, width, dark):
    with serving(media) as caller, chromium(tmp_path, f"http://127.0.0.1:{caller.port}/", width, dark) as tab:
        picture = pictures.png(coloured_shapes.draw(np.random.default_rng(5)).pixels)
        opened(tab, "caption")
        tab.run(DROPPED % (base64.b64encode(picture).decode(), "image/png"))
        tab.wait(f"{SHOWN}.querySelectorAll('.said button').length >= 1")
        tab.run(f"{SHOWN}.querySelector('.said button').focus()")
        tab.screenshot(f"caption-{width}")
        opened(tab, "video")
        clip = (media["video"].folder.parent / "strips" / "3.png").read_bytes()
        tab.run(DROPPED % (base64.b64encode(clip).decode(), "image/png"))
        tab.wait(f"{SHOWN}.querySelectorAll('.bars li').length === 2")
        tab.screenshot(f"video-{width}")
        closed = f"{SHOWN}.querySelector('[role=alert]').hidden && {SHOWN}.querySelector('button').textContent === 'Microphone'"
        for name in ("trigger", "speech"):
            opened(tab, name)
            tab.run(DROPPED % (base64.b64encode(words.read_bytes()).decode(), "audio/wav"))
            tab.wait(
                f"{SHOWN}.querySelectorAll('.bars li').length + ({SHOWN}.querySelector('.out')?.textContent.length ?? 0) > 0"
            )
            tab.wait(closed)
            tab.screenshot(f"{name}-{width}")
            tab.run(f"{SHOWN}.querySelector('button').click()")  # the microphone
            tab.wait(f"{SHOWN}.querySelector('button').textContent === 'Stop'")
            time.sleep(1)
            tab.run(f"{SHOWN}.querySelector('button').click()")
            tab.wait(closed)
        opened(tab, "wavenet")
        tab.run(f"{{ {SHOWN}.querySelector('input').value = 1; {SHOWN}.querySelector('button').click() }}")
        tab.wait(f"{SHOWN}.textContent.includes('times as fast as it plays')")
        tab.screenshot(f"wavenet-{width}")
        assert tab.run("document.documentElement.scrollWidth <= innerWidth")
        assert tab.complaints == []


# A microphone that is granted when `grant()` is called; the tracks of what was granted are kept.
GRANTED = """{
  const media = navigator.mediaDevices, ask = media.getUserMedia.bind(media);
  window.heard = []; window.grant = null;
  media.getUserMedia = async (wanted) => {
    await new Promise((go) => { window.grant = () => { window.grant = null; go(); }; });
    const stream = await ask(wanted);
    heard.push(...stream.getTracks());
    return stream;
  };
}"""


@pytest.mark.browser
@browser
def test_a_recording_ends_the_microphone(media, words, tmp_path):
    with (
        serving({"alexa": media["trigger"]}) as caller,
        chromium(tmp_path, f"http://127.0.0.1:{caller.port}/") as tab,
    ):
        button, dropped = (
            f"{SHOWN}.querySelector('button')",
            DROPPED % (base64.b64encode(words.read_bytes()).decode(), "audio/wav"),
        )
        over = f"{button}.textContent === 'Microphone' && !{button}.disabled && {SHOWN}.querySelectorAll('.bars li').length > 0"
        tab.run(GRANTED)
        tab.run(f"{button}.click()")
        tab.wait(f"window.grant !== null && {button}.disabled")
        tab.run(dropped)
        tab.wait(over)
        tab.run("grant()")  # too late
        tab.wait("heard.length === 1 && heard[0].readyState === 'ended'")
        assert tab.run(over)
        tab.run(f"{button}.click()")
        tab.wait("window.grant !== null")
        tab.run("grant()")
        tab.wait(f"{button}.textContent === 'Stop' && heard[1].readyState === 'live'")
        tab.run(dropped)
        tab.wait(f"heard[1].readyState === 'ended' && {over}")
        until(lambda: 'unrolled_streams{run="alexa"} 0' in caller.ask("/metrics").body.decode())
        assert tab.run(f"{SHOWN}.querySelector('[role=alert]').hidden") and tab.complaints == []


@pytest.mark.browser
@browser
def test_a_file_dropped_beside_its_place_does_not_leave_the_page(media, tmp_path):
    with serving({"eyes": media["caption"]}) as caller, chromium(tmp_path, f"http://127.0.0.1:{caller.port}/") as tab:
        tab.run("{ window.held = new DataTransfer(); held.items.add(new File(['a'], 'a.png')) }")
        event = "new DragEvent(kind, { bubbles: true, cancelable: true, dataTransfer: held })"
        assert tab.run(f"['dragover', 'drop'].map((kind) => document.body.dispatchEvent({event}))") == [False, False]


@pytest.mark.browser
@browser
def test_the_page_asks_for_a_token(texts, tmp_path):
    with serving({"names": texts["tag"]}, token=SECRET) as caller:
        address = f"http://127.0.0.1:{caller.port}/"
        with chromium(tmp_path, f"{address}#token={SECRET}") as tab:
            tab.wait(f"{SHOWN}.querySelector('.out').textContent.includes('Teddy')")
            assert SECRET not in tab.run("location.href")
            tab.run("sessionStorage.clear()")
            tab.call("Page.navigate", url=f"{address}?again")
            tab.wait("document.getElementById('ask') && !document.getElementById('ask').hidden")
            tab.run(f"document.getElementById('token').value = '{SECRET}'; document.querySelector('#ask button').click()")
            tab.wait(f"{SHOWN} && {SHOWN}.querySelector('.out').textContent.includes('Teddy')")
