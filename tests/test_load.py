"""The server under load, told in figures: more than it can take, told to end in the midst, a thousand streams, hours.

`make load` runs these alone, since what else the machine does is in the figures; MINUTES=60 makes the long ones an hour. What is
asserted holds on a busy machine; what is promised of a quiet one is printed beside it.
"""

import asyncio
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil
import pytest

pytest.importorskip("fastapi", reason="serving needs the extra `serve`")
from test_serve import PATIENCE, make, spoken, words  # noqa: F401
from websockets.asyncio.client import connect

from unrolled.data import sound
from unrolled.serve import pcm

pytestmark = pytest.mark.slow
MINUTES = float(os.environ.get("UNROLLED_MINUTES", "1"))
STREAMS = 1000


# --- a server in a process of its own, and who asks it


class Server(NamedTuple):
    child: subprocess.Popen
    port: int
    log: Path

    @property
    def process(self):
        return psutil.Process(self.child.pid)

    def events(self):
        return [json.loads(line) for line in self.log.read_text().splitlines()]


@contextmanager
def serving(runs, folder, *options):
    """`unrolled serve` with its log in a file: a pipe that nobody reads would hold it up."""
    command = [sys.executable, "-m", "unrolled", "serve", *map(str, runs), "--port", "0", *options]
    log = folder / "log"
    with open(log, "w") as file, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=file, text=True) as child:
        address = child.stdout.readline()
        yield Server(child, int(address.rstrip("/\n").rpartition(":")[2]), log)
        child.kill()


class Reply(NamedTuple):
    status: int | None  # None: the connection was closed without a word
    seconds: float
    head: bytes
    body: bytes

    @property
    def data(self):
        return json.loads(self.body)


async def ask(port, path, data=None):
    """One request on a connection of its own."""
    began = time.perf_counter()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    body = b"" if data is None else json.dumps(data).encode()
    head = f"{'GET' if data is None else 'POST'} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n"
    head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    return Reply(int(head.split()[1]) if head else None, time.perf_counter() - began, head, body)


def waiting(metrics):
    """Requests that wait, of the one run that is served."""
    return int(re.search(rb"unrolled_waiting{.*} (\d+)", metrics)[1])


def figures(seconds):
    """Of times: p50, p99 and the longest, in milliseconds."""
    p50, p99 = np.percentile(seconds, [50, 99])
    return f"p50 {1000 * p50:.1f} ms, p99 {1000 * p99:.1f} ms, longest {1000 * max(seconds):.1f} ms"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """One that writes, one that reads, one that listens: by their names."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "book.txt").write_text("the cat sat on the mat.\n" * 900)
    said = {"1": "cold and rude", "5": "lovely and warm"}
    rows = "".join(f"the soup {i} was {said[star]},{star}\n" for i in range(40) for star in said)
    (folder / "reviews.csv").write_text("review,stars\n" + rows)
    clips, small = spoken(folder / "clips"), {"device": "cpu", "evaluations": 1}
    heard = {"positive": (str(clips / "positive"),), "negative": (str(clips / "negative"),)}
    made = [
        make("language", folder, folder / "book.txt", steps=20, hidden=16, **small),
        make("classify", folder, folder / "reviews.csv", steps=20, hidden=8, embedding=8, **small),
        make("trigger", folder, (), steps=2, example=4.0, batch=4, **heard, **small),  # as wide as it is for users
    ]
    return {run.folder.name: run for run in made}


def written(run, seed, length):
    """What a request of that seed is answered."""
    return {"texts": run.task.samples(run, run.task.Sample(length=length, seed=seed))}


# --- more than it can take


def test_five_times_more_than_it_answers_is_refused_at_once_and_the_rest_answered_well(runs, tmp_path):
    """Requests at five times the pace of answers until five queues' worth have come, and then so many at one moment."""
    run, length, seeds = runs["language"], 4096, 7
    wanted = [written(run, seed, length) for seed in range(seeds)]

    async def at(port, second, seed):
        await asyncio.sleep(second)
        return seed % seeds, await ask(port, "/language/sample", {"length": length, "seed": seed % seeds})

    async def offered(port, queue):
        alone = [(await at(port, 0, seed))[1] for seed in range(20)]
        paced = 5 / np.median([one.seconds for one in alone])
        steady = await asyncio.gather(*[at(port, i / paced, i) for i in range(5 * queue)])
        burst = await asyncio.gather(*[at(port, 0, i) for i in range(5 * queue)])
        return paced, alone, steady, burst

    with serving([run.folder], tmp_path, "--queue", "64", "--deadline", "120") as server:
        before = server.process.memory_info().rss
        paced, alone, steady, burst = asyncio.run(offered(server.port, 64))
        grown = (server.process.memory_info().rss - before) / 1e6
    for name, found in (("steady", steady), ("at once", burst)):
        refused = [one for _, one in found if one.status == 429]
        answered = [(seed, one) for seed, one in found if one.status == 200]
        assert len(refused) + len(answered) == len(found) and refused and len(answered) >= 64
        assert all(one.data == wanted[seed] for seed, one in answered)
        assert all(b"retry-after: " in one.head for one in refused)
        print(
            f"overload, {name}: {len(found)} asked ({paced:.0f} a second where steady), {len(answered)} answered as in Python, "
            f"{figures([one.seconds for _, one in answered])}; "
            f"{len(refused)} refused, {figures([one.seconds for one in refused])}"
        )
    quick = sum(one.seconds < 0.1 for _, one in steady if one.status == 429) / sum(one.status == 429 for _, one in steady)
    print(f"overload: one alone {figures([one.seconds for one in alone])}")
    print(f"  where steady {100 * quick:.1f} % are refused within 100 ms; memory {grown:+.0f} MB")
    assert quick > 0.5 and grown < 200


# --- told to end


@pytest.mark.parametrize("times", [10])
def test_told_to_end_under_load_it_ends_in_time_and_breaks_off_nothing(runs, tmp_path, times):
    """What was asked before the signal is answered in full; what comes after it is turned away, never half answered."""
    run, chance, took = runs["language"], random.Random(1), []
    wanted = [written(run, seed, 500) for seed in range(5)]
    kinds = {200: 0, None: 0}

    async def client(port, number, found):
        for seed in range(number, 10**6):
            began = time.monotonic()
            try_ = await asyncio.gather(ask(port, "/language/sample", {"length": 500, "seed": seed % 5}), return_exceptions=True)
            found.append((began, seed % 5, try_[0]))
            if isinstance(try_[0], OSError):  # it listens no more
                return

    async def loaded(server, seconds):
        found = []
        clients = [asyncio.ensure_future(client(server.port, i, found)) for i in range(8)]
        async with connect(f"ws://127.0.0.1:{server.port}/language/stream") as stream:
            await stream.send('{"length": 4096}')
            await asyncio.sleep(seconds)
            server.child.send_signal(signal.SIGTERM)
            ended = time.monotonic()
            code = await asyncio.to_thread(server.child.wait, PATIENCE)
            took.append(time.monotonic() - ended)
            await asyncio.wait_for(asyncio.gather(*clients), PATIENCE)
        return code, ended, found

    for i in range(times):
        folder = tmp_path / str(i)
        folder.mkdir()
        with serving([run.folder], folder) as server:
            code, ended, found = asyncio.run(loaded(server, chance.uniform(0, 1)))
        assert code == 0
        before = [(seed, one) for began, seed, one in found if began < ended - 0.05]
        assert all(isinstance(one, Reply) and one.status == 200 for _, one in before)
        for _, seed, one in found:
            if isinstance(one, Reply):
                kinds[one.status] += 1
                assert one.status is None or one.data == wanted[seed]
        assert {line["event"] for line in server.events()} == {"ready", "request", "ended"}
    print(f"SIGTERM under load, {times} times: exit 0 after {min(took):.2f} to {max(took):.2f} s; {kinds[200]} answered in full")
    print(f"  {kinds[None]} taken in the moment of the end and closed without an answer")
    assert max(took) < 5


def test_a_signal_in_the_first_moment_is_not_lost(runs, tmp_path):
    with serving([runs["classify"].folder], tmp_path) as server:  # it has told its address, and answers nobody yet
        server.child.send_signal(signal.SIGTERM)
        assert server.child.wait(PATIENCE) == 0


def test_what_cannot_be_finished_in_time_is_told_so(runs, tmp_path):
    """A queue of more work than the seconds that are left: each has an answer, or is told that the server ends."""
    run = runs["language"]
    wanted = written(run, 1, 4096)

    async def full(server):
        asked = [asyncio.ensure_future(ask(server.port, "/language/sample", {"length": 4096, "seed": 1})) for _ in range(300)]
        while waiting((await ask(server.port, "/metrics")).body) < 200:
            await asyncio.sleep(0.01)
        server.child.send_signal(signal.SIGTERM)
        began = time.monotonic()
        code = await asyncio.to_thread(server.child.wait, PATIENCE)
        return code, time.monotonic() - began, await asyncio.gather(*asked)

    with serving([run.folder], tmp_path, "--deadline", "120") as server:
        code, seconds, found = asyncio.run(full(server))
    done, late = ([one for one in found if one.status == status] for status in (200, 503))
    print(
        f"SIGTERM with over 200 waiting: exit {code} after {seconds:.2f} s, {len(done)} answered, {len(late)} told that it ends"
    )
    assert code == 0 and seconds < 5
    assert all(one.data == wanted for one in done)
    assert late and all(one.data["error"]["message"].startswith("the server ends") for one in late)
    assert {one.status for one in found} <= {200, 429, 503}


# --- a thousand streams


@pytest.mark.parametrize("chunk", [0.1, 1.0])
def test_a_thousand_streams_of_a_chunk_a_second_are_heard_as_their_files(runs, words, tmp_path, chunk):  # noqa: F811
    """Each sends `chunk` seconds of sound a second, at its own moment of it, and its own piece of the recording."""
    run = runs["trigger"]
    net = run.task.detector(run.model)
    sent = round(60 * MINUTES)
    size = round(chunk * net.rate)
    whole = np.tile(sound.read(words, net.rate), 2 + sent * size // sound.read(words, net.rate).size)
    waited, shown = [], []

    async def stream(port, number, begins):
        samples = whole[(number % 16) * 997 :][: sent * size]
        heard, late = [], []
        async with connect(f"ws://127.0.0.1:{port}/trigger/listen", open_timeout=PATIENCE, ping_interval=None) as socket:
            await socket.send("{}")
            await socket.recv()
            shown.append(number)
            await begins.wait()
            start = time.monotonic() + number / STREAMS
            for i in range(sent):
                await asyncio.sleep(max(0, start + i - time.monotonic()))
                began = time.perf_counter()
                await socket.send(pcm.pack(samples[i * size : (i + 1) * size]))
                heard.append(await socket.recv())
                late.append(time.perf_counter() - began)
            await socket.send('{"end": true}')
            assert json.loads(await socket.recv()) == {"done": True}
        waited.extend(late)
        return number % 16, [p for one in heard for p in json.loads(one)["probabilities"]]

    async def everyone(port):
        begins = asyncio.Event()
        going = [asyncio.ensure_future(stream(port, number, begins)) for number in range(STREAMS)]
        while len(shown) < STREAMS:
            await asyncio.sleep(0.1)
        begins.set()
        return await asyncio.gather(*going)

    with serving([run.folder], tmp_path) as server:
        before = server.process.cpu_times()
        found = asyncio.run(everyone(server.port))
        megabytes, after = server.process.memory_info().rss / 1e6, server.process.cpu_times()
    offline = [net(pcm.unpack(pcm.pack(whole[n * 997 :][: sent * size])), net.start())[0] for n in range(16)]
    for number, heard in found:
        assert heard == offline[number].round(4).tolist()
    spent = after.user + after.system - before.user - before.system
    print(
        f"{STREAMS} streams, {chunk:g} s of sound a second each, {sent} s: {figures(waited)}; {len(waited)} pieces, 0 errors, "
        f"equal to the files; server {megabytes:.0f} MB, {1000 * spent / len(waited):.2f} ms of processor a piece"
    )
    assert len(waited) == STREAMS * sent


# --- hours


def test_memory_and_descriptors_do_not_grow_with_time(runs, words, tmp_path):  # noqa: F811
    """Requests of every kind, streams that end and streams that are dropped; figures once a second after the first fifth."""
    samples = pcm.pack(sound.read(words, runs["trigger"].model.logmel.rate))
    seconds, asked, measured = 60 * MINUTES, [0], []

    async def requests(port, until):
        kinds = [
            ("/language/sample", {"length": 50, "seed": 1}), ("/classify/predict", {"texts": ["the soup was cold"]}),
            ("/classify/predict", {"texts": []}), ("/nothing", None), ("/metrics", None),
            ("/language/score", {"text": "the cat"}),
        ]  # fmt: skip
        while time.monotonic() < until:
            for path, data in kinds:
                assert (await ask(port, path, data)).status in (200, 404, 422)
                asked[0] += 1
            await asyncio.sleep(0.05)

    async def streams(port, until, chance):
        while time.monotonic() < until:
            async with connect(f"ws://127.0.0.1:{port}/trigger/listen") as socket:
                await socket.send("{}")
                await socket.send(samples)
                assert json.loads(await socket.recv())["hertz"] and json.loads(await socket.recv())["probabilities"]
                if chance.random() < 0.5:
                    socket.transport.abort()  # as where a line breaks
            async with connect(f"ws://127.0.0.1:{port}/language/stream") as socket:
                await socket.send('{"length": 200}')
                await socket.recv()
            asked[0] += 2
            await asyncio.sleep(0.05)

    async def watched(process, until):
        began = time.monotonic()
        while time.monotonic() < until:
            await asyncio.sleep(1)
            if time.monotonic() - began > seconds / 5:
                measured.append((time.monotonic() - began, process.memory_info().rss, process.num_fds(), process.num_threads()))

    async def soaked(server):
        until = time.monotonic() + seconds
        await asyncio.gather(
            *[requests(server.port, until) for _ in range(4)], *[streams(server.port, until, random.Random(i)) for i in range(4)],
            watched(server.process, until),
        )  # fmt: skip

    with serving([run.folder for run in runs.values()], tmp_path) as server:
        asyncio.run(soaked(server))
        time.sleep(1)
        left = server.process.num_fds()
    at, memory, descriptors, threads = np.array(measured, float).T
    slope = np.polyfit(at / 3600, memory / 1e6, 1)[0]
    print(
        f"soak of {MINUTES:g} min: {asked[0]} requests and streams; memory {memory[0] / 1e6:.0f} to {memory[-1] / 1e6:.0f} MB, "
        f"{slope:+.2f} MB an hour; descriptors {descriptors.min():.0f} to {descriptors.max():.0f}, {left} at rest; "
        f"{threads[-1]:.0f} threads"
    )
    assert left <= descriptors.max() <= descriptors.min() + 40 and len(set(threads)) == 1
    assert memory.max() - memory.min() < 30e6 and (slope < 20 or seconds < 600)
