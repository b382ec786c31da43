"""Files changed at random, in every format that is read: each is read, or refused by one message; none ends the program.

A child process reads them, so that a crash of a decoder is seen as one, with a limit of memory, and of time for each.
"""

import bz2
import contextlib
import gzip
import io
import json
import lzma
import multiprocessing
import pickle
import random
import resource
import shutil
import time
import traceback
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from unrolled import api, evaluation, glossary, resnet, runtime, vector_files
from unrolled.config import build
from unrolled.data import arpa, captioned, frames, labelled_clips, pictures, sound
from unrolled.errors import UserError
from unrolled.tasks import classify, language, tag, translate

processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["unrolled.api", "unrolled.tasks.classify", "unrolled.tasks.tag", "unrolled.tasks.translate"])

FILES = [pytest.param(25, id="25"), pytest.param(1000, id="1000", marks=pytest.mark.slow)]
SECONDS, BYTES = 20.0, 6 << 30  # that one file may take, a quarter of it on a quiet machine; of address space of the child


# --- a whole file of each format, small, of our own making


def lines(path: Path, rows) -> Path:
    path.write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
    return path


def text(folder: Path) -> Path:
    return lines(folder / "a.txt", ["the cat sat on the mat, «naïve» and the rat sat on the cat"] * 30)


def zipped(folder: Path) -> Path:
    path = folder / "a.txt.gz"
    path.write_bytes(gzip.compress(text(folder).read_bytes()))
    return path


SENTENCES = [("good" if i % 2 else "bad", f"the film number {i} is {'fine, and long' if i % 2 else 'dull'}") for i in range(40)]


def csv(folder: Path) -> Path:
    return lines(folder / "a.csv", ["label,text", *(f'{label},"{said}"' for label, said in SENTENCES)])


def tsv(folder: Path) -> Path:
    return lines(folder / "a.tsv", ["label\ttext", *(f"{label}\t{said}" for label, said in SENTENCES)])


def jsonl(folder: Path) -> Path:
    return lines(folder / "a.jsonl", [json.dumps({"label": label, "text": said}) for label, said in SENTENCES])


def parquet(folder: Path) -> Path:
    import pyarrow
    from pyarrow import parquet as file

    label, said = zip(*SENTENCES, strict=True)
    file.write_table(pyarrow.table({"label": label, "text": said}), folder / "a.parquet")
    return folder / "a.parquet"


def columns(folder: Path) -> Path:
    sentences = (f"Anna{i} B-PER\nlives O\nin O\nBonn B-LOC\n. O\n" for i in range(30))
    return lines(folder / "a.conll", sentences)


def spans(folder: Path) -> Path:
    ends = [[0, 4, "PER"], [14, 18, "LOC"]]
    return lines(folder / "a.jsonl", [json.dumps({"text": f"Anna lives in Bonn, {i}.", "spans": ends}) for i in range(30)])


def sentence_pairs(folder: Path) -> Path:
    return lines(folder / "a.tsv", ["en\tde", *(f"the {n} dogs run\tdie {n} Hunde rennen" for n in range(40))])


def vectors(folder: Path) -> Path:
    return lines(folder / "a.txt", ["20 4", *(f"word{i} {i / 7:.4f} -1.5 2e-3 {i}" for i in range(20))])


def glove(folder: Path) -> Path:
    return lines(folder / "a.txt", [f"word{i} {i / 7:.4f} -1.5 2e-3 {i}" for i in range(20)])


def binary_vectors(folder: Path) -> Path:
    rows = b"".join(f"word{i} ".encode() + np.arange(4, dtype="<f4").tobytes() for i in range(20))
    (folder / "a.bin").write_bytes(b"20 4\n" + rows)
    return folder / "a.bin"


def n_grams(folder: Path) -> Path:
    return lines(folder / "a.arpa", [
        "\\data\\", "ngram 1=4", "ngram 2=2", "", "\\1-grams:", "-1.2 <unk>", "-0.7 <s> -0.3", "-0.9 </s>", "-0.8 cat -0.2", "",
        "\\2-grams:", "-0.4 <s> cat", "-0.5 cat </s>", "", "\\end\\",
    ])  # fmt: skip


def questions(folder: Path) -> Path:
    return lines(folder / "a.txt", [": capitals", *["Bonn Germany Paris France"] * 10])


def terms(folder: Path) -> Path:
    return lines(folder / "a.tsv", [f"dog{i}\tHund{i}" for i in range(20)])


def heard(kind: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        import soundfile

        path = folder / f"a.{kind}"
        soundfile.write(path, 0.3 * np.sin(np.arange(4000) / 5), 16_000)
        return path

    return make


def seen(kind: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        pixels = np.random.default_rng(1).integers(0, 256, (20, 30, 3), np.uint8)
        path = folder / f"a.{kind}"
        Image.fromarray(pixels).save(path)
        return path

    return make


def animation(folder: Path) -> Path:
    drawn = [Image.new("RGB", (24, 24), (i * 20, 0, 255 - i * 20)) for i in range(6)]
    drawn[0].save(folder / "a.gif", save_all=True, append_images=drawn[1:], duration=50)
    return folder / "a.gif"


def film(folder: Path) -> Path:
    import av

    path = folder / "a.mp4"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 32
        for i in range(8):
            pixels = np.full((32, 32, 3), 30 * i, np.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(pixels)))
        file.mux(stream.encode())
    return path


def coco(folder: Path) -> Path:
    seen("png")(folder)
    images = [{"id": i, "file_name": "a.png"} for i in range(5)]
    said = [{"image_id": i, "caption": f"a picture of {i}"} for i in range(5)]
    return lines(folder / "a.json", [json.dumps({"images": images, "annotations": said})])


def karpathy(folder: Path) -> Path:
    seen("png")(folder)
    images = [{"filename": "a.png", "split": "train", "sentences": [{"raw": f"a picture of {i}"}]} for i in range(5)]
    return lines(folder / "a.json", [json.dumps({"images": images})])


def flickr(folder: Path) -> Path:
    seen("png")(folder)
    return lines(folder / "a.token", [f"a.png#{i}\ta picture of {i}" for i in range(5)])


def frame_labels(folder: Path) -> Path:
    animation(folder)
    return lines(folder / "a.csv", ["clip,first,last,label", "a.gif,0,2,up", "a.gif,3,5,down"])


# --- how each is read


def task(page, **settings) -> Callable[[Path], object]:
    def read(path: Path) -> object:
        return page.read(build(page.Config, {"data": (str(path),), **settings}), path.parent / "tokens")

    return read


def captions(path: Path) -> object:
    found = captioned.find([str(path.parent), str(path)], path.parent)
    return captioned.decode(found.pictures, 16, path.parent / "decoded")


def clips(path: Path) -> object:
    spool = path.parent / "spool"
    spool.mkdir(exist_ok=True)
    faults: dict[str, labelled_clips.Fault] = {}
    found = labelled_clips.find([str(path.parent), str(path)], spool, labelled_clips.Columns(None, None, None), None)
    return list(labelled_clips.readable(found.clips, frames.info, faults))


class Format(NamedTuple):
    make: Callable[[Path], Path]
    read: Callable[[Path], object]


def hearing(path: Path) -> object:
    return sound.read(path, 16_000)


def seeing(path: Path) -> object:
    return pictures.read(path, 16, 16)


def watching(path: Path) -> object:
    return frames.read(path, 16, frames.at_most(4))


FORMATS = {
    "txt": Format(text, task(language)),
    "txt.gz": Format(zipped, task(language)),
    "csv": Format(csv, task(classify)),
    "tsv": Format(tsv, task(classify)),
    "jsonl": Format(jsonl, task(classify)),
    "parquet": Format(parquet, task(classify)),
    "conll": Format(columns, task(tag)),
    "spans": Format(spans, task(tag)),
    "pairs": Format(sentence_pairs, task(translate, symbols="characters")),
    "word2vec": Format(vectors, vector_files.read),
    "glove": Format(glove, vector_files.read),
    "word2vec.bin": Format(binary_vectors, vector_files.read),
    "arpa": Format(n_grams, arpa.read),
    "analogies": Format(questions, evaluation.read),
    "glossary": Format(terms, glossary.read),
    "wav": Format(heard("wav"), hearing),
    "flac": Format(heard("flac"), hearing),
    "ogg": Format(heard("ogg"), hearing),
    "mp3": Format(heard("mp3"), hearing),
    "png": Format(seen("png"), seeing),
    "jpg": Format(seen("jpg"), seeing),
    "webp": Format(seen("webp"), seeing),
    "bmp": Format(seen("bmp"), seeing),
    "tiff": Format(seen("tiff"), seeing),
    "ppm": Format(seen("ppm"), seeing),
    "gif": Format(animation, watching),
    "mp4": Format(film, watching),
    "coco": Format(coco, captions),
    "karpathy": Format(karpathy, captions),
    "flickr8k": Format(flickr, captions),
    "labels of frames": Format(frame_labels, clips),
}


# --- changing them


def changed(data: bytes, chance: random.Random) -> bytes:
    """Another file: bits turned, a piece cut out, doubled, filled or put elsewhere, a number replaced, the end lost."""
    found = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 5))):
        begin = chance.randrange(len(found) + 1)
        end = min(len(found), begin + chance.choice((1, 2, 4, 16, 64, 1024)))
        piece = bytes(found[begin:end])
        match chance.randrange(7):
            case 0:
                for _ in range(chance.choice((1, 3, 20))):
                    if found:
                        found[chance.randrange(len(found))] ^= 1 << chance.randrange(8)
            case 1:
                del found[begin:end]
            case 2:
                found[begin:begin] = piece * chance.choice((1, 2, 50))
            case 3:
                found[begin:end] = bytes([chance.choice((0, 255, 10, 44, 34, 123))]) * len(piece)
            case 4:
                at = chance.randrange(len(found) + 1)
                found[at:at] = piece
            case 5:
                found[begin : begin + 4] = chance.choice(NUMBERS)
            case 6:
                del found[begin:]
    return bytes(found)


NUMBERS = (
    b"\xff\xff\xff\xff",
    b"\xff\xff\xff\x7f",
    b"\0\0\0\0",
    b"-1  ",
    b"1e99",
    b"nan ",
    b"9999",
    b"\x80\0\0\0",
    b"\xef\xbb\xbf\r",
)


def attempt(read: Callable[[Path], object], path: Path) -> str:
    """ "read", "refused", or the traceback of what should not have happened."""
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            read(path)
    except UserError as error:
        return "refused" if error.what.strip() else "an empty message"
    except BaseException:
        return traceback.format_exc()
    return "read"


def at_work(name: str, numbers: range, folder: Path, pipe) -> None:
    """In a child: read the changed files of a format, telling of each."""
    resource.setrlimit(resource.RLIMIT_AS, (BYTES, BYTES))
    form, whole = FORMATS[name], folder / "whole"
    whole.mkdir()
    path = form.make(whole)
    data = path.read_bytes()
    told = attempt(form.read, path)
    pipe.send((-1, told, 0.0))
    for number in numbers:
        place = shutil.copytree(whole, folder / str(number), ignore=shutil.ignore_patterns("tokens", "spool", "decoded*"))
        (place / path.name).write_bytes(changed(data, random.Random(f"{name} {number}")))
        began = time.monotonic()
        told = attempt(form.read, place / path.name)
        pipe.send((number, told, time.monotonic() - began))
        shutil.rmtree(place)
    pipe.send(None)


@pytest.mark.parametrize("files", FILES)
@pytest.mark.parametrize("name", FORMATS)
def test_a_changed_file_is_read_or_refused_by_one_message(name, files, tmp_path):
    here, there = processes.Pipe(duplex=False)
    child = processes.Process(target=at_work, args=(name, range(files), tmp_path, there), daemon=True)
    child.start()
    there.close()
    found, number = {"read": 0, "refused": 0}, -1
    slowest = 0.0
    try:
        while True:
            assert here.poll(SECONDS + 60 * (number < 0)), f"{name} {number + 1} takes over {SECONDS} s"
            try:
                told = here.recv()
            except EOFError:
                child.join()
                raise AssertionError(f"{name} {number + 1} ended the process: {child.exitcode}") from None
            if told is None:
                break
            number, what, seconds = told
            assert what in found, f"{name} {number}: {what}"
            assert number >= 0 or what == "read", "the whole file is read"
            found[what] += number >= 0
            slowest = max(slowest, seconds)
    finally:
        child.kill()
        child.join()
    assert sum(found.values()) == files and found["refused"] + found["read"] > 0
    print(f"{name}: {files} changed, {found['read']} read, {found['refused']} refused, slowest {slowest:.2f} s")


# --- run folders


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    small = {"hidden": 8, "layers": 1, "embedding": 4, "batch": 2, "length": 8}
    return api.train("language", text(folder), out=folder / "run", steps=2, evaluations=1, quiet=True, **small).folder


@pytest.mark.parametrize("files", FILES)
def test_every_change_of_what_a_run_answers_with_is_found(run, files, tmp_path):
    """Weights, config, codec, manifest, the pointer to them: none is used when a single bit of it has changed."""
    copy = shutil.copytree(run, tmp_path / "copy")
    step = copy / "steps" / (copy / "best").read_text().split()[0]
    named = [copy / "config.json", copy / "codec.json", copy / "best", step / "manifest.json", step / "model.safetensors"]
    before = {path: path.read_bytes() for path in named}
    for number in range(files):
        chance = random.Random(number)
        path = named[number % len(named)]
        data = bytearray(before[path])
        if number % 2:
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        else:
            data = bytearray(changed(before[path], chance))
        path.write_bytes(data)
        told = attempt(api.load, copy)
        assert told == ("read" if bytes(data) == before[path] else "refused"), f"{path.name} {number}: {told}"
        path.write_bytes(before[path])
    assert attempt(api.load, copy) == "read"


# --- small files that would become large ones


def png_claiming(folder: Path) -> Path:
    path = folder / "a.png"
    Image.new("1", (30_000, 30_000)).save(path)
    return path


def gif_claiming(folder: Path) -> Path:
    path = seen("gif")(folder)
    data = bytearray(path.read_bytes())
    data[6:10] = (60_000).to_bytes(2, "little") * 2
    path.write_bytes(data)
    return path


def silent_flac(folder: Path) -> Path:
    import soundfile

    path = folder / "a.flac"
    with soundfile.SoundFile(path, "w", 8000, 1) as file:
        for _ in range(200):
            file.write(np.zeros(8000 * 180, np.int16))  # ten hours
    return path


def lying_wav(folder: Path) -> Path:
    path = heard("wav")(folder)
    data = bytearray(path.read_bytes())
    data[4:8] = data[40:44] = b"\xff\xff\xff\x7f"
    path.write_bytes(data)
    return path


def zeros_zipped(folder: Path) -> Path:
    path = folder / "a.txt.gz"
    with gzip.open(path, "wb", 6) as file:
        for _ in range(512):
            file.write(bytes(1 << 20))
    return path


def nested_json(folder: Path) -> Path:
    return lines(folder / "a.json", ["[" * 200_000])


def nested_jsonl(folder: Path) -> Path:
    return lines(folder / "a.jsonl", ['{"text":' * 100_000])


def claiming_vectors(folder: Path) -> Path:
    return lines(folder / "a.txt", ["999999999 4000", "word 1 2 3 4"])


def claiming_binary(folder: Path) -> Path:
    (folder / "a.bin").write_bytes(b"999999999 4000\nword " + bytes(64))
    return folder / "a.bin"


def claiming_tensors(folder: Path) -> Path:
    (folder / "a.safetensors").write_bytes((1 << 40).to_bytes(8, "little") + b"{}")
    return folder / "a.safetensors"


def many_tensors(folder: Path) -> Path:
    names = {f"t{i}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for i in range(200_000)}
    head = json.dumps(names).encode()
    (folder / "a.safetensors").write_bytes(len(head).to_bytes(8, "little") + head)
    return folder / "a.safetensors"


def changed_at(make: Callable[[Path], Path], *places: tuple[int, bytes]) -> Callable[[Path], Path]:
    """A whole file with other bytes at some places."""

    def change(folder: Path) -> Path:
        path = make(folder)
        data = bytearray(path.read_bytes())
        for at, new in places:
            data[at : at + len(new)] = new
        path.write_bytes(data)
        return path

    return change


SIXTY_THOUSAND = (60_000).to_bytes(4, "little")


def claiming_mp3(folder: Path) -> Path:
    path = heard("mp3")(folder)
    data = bytearray(path.read_bytes())
    at = max(data.find(b"Xing"), data.find(b"Info"))
    data[at + 8 : at + 12] = b"\x7f\xff\xff\xff"  # frames
    path.write_bytes(data)
    return path


def silent_ogg(folder: Path) -> Path:
    import soundfile

    path = folder / "a.ogg"
    with soundfile.SoundFile(path, "w", 8000, 1) as file:
        for _ in range(40):
            file.write(np.zeros(8000 * 180, np.float32))  # two hours
    return path


def zeros_packed(opened: Callable, name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        with opened(folder / name, "wb") as file:
            for _ in range(256):
                file.write(bytes(1 << 20))
        return folder / name

    return make


def endless_row(folder: Path) -> Path:
    path = folder / "a.txt.gz"
    with gzip.open(path, "wb", 6) as file:
        file.write(b"word")
        for _ in range(256):
            file.write(b" 1" * (1 << 19))
    return path


def zip_archive(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "a.bin", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.txt", bytes(256 << 20))
    return folder / "a.bin"


def npz(folder: Path) -> Path:
    np.savez_compressed(folder / "a.npz", a=np.zeros(1 << 25, np.float32))
    return folder / "a.npz"


def npy(version: bytes, size: bytes, head: bytes) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        lines(folder / "a.words.txt", ["one", "two"])
        (folder / "a.npy").write_bytes(b"\x93NUMPY" + version + size + head + bytes(2400))
        return folder / "a.npy"

    return make


NPY = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 300), }\n"


def repeated_cell(folder: Path) -> Path:
    """A megabyte that stands in the file once, and in 5,000 rows."""
    import pyarrow
    from pyarrow import parquet as file

    once = [pyarrow.DictionaryArray.from_arrays(np.zeros(5000, np.int32), pyarrow.array([text])) for text in ("a", "x" * 10**6)]
    file.write_table(pyarrow.table(once, ["label", "text"]), folder / "a.parquet", compression="gzip")
    return folder / "a.parquet"


def packed_cells(folder: Path) -> Path:
    import pyarrow
    from pyarrow import parquet as file

    table = pyarrow.table({"label": ["a", "b"], "text": ["\0" * (100 << 20)] * 2})
    file.write_table(table, folder / "a.parquet", compression="zstd", use_dictionary=False)
    return folder / "a.parquet"


def pickled(folder: Path) -> Path:
    (folder / "a.bin").write_bytes(pickle.dumps(list(range(1000))))
    return folder / "a.bin"


def long_number(folder: Path) -> Path:
    return lines(folder / "a.json", ['{"images": ' + "1" * 5_000_000 + "}"])


def claiming_arpa(folder: Path) -> Path:
    return lines(folder / "a.arpa", ["\\data\\", "ngram 1=999999999999", "", "\\1-grams:", "-1 <unk>", "\\end\\"])


def lying_tensor(folder: Path) -> Path:
    head = json.dumps({"conv1.weight": {"dtype": "F32", "shape": [1 << 30, 1 << 10], "data_offsets": [0, 1 << 42]}}).encode()
    (folder / "a.safetensors").write_bytes(len(head).to_bytes(8, "little") + head + bytes(64))
    return folder / "a.safetensors"


def many_frames(folder: Path) -> Path:
    """20,000 frames of a pixel each, on a canvas of 36 million."""
    Image.new("P", (6000, 6000)).save(folder / "one.gif")
    frame = b"\x21\xf9\x04\x04\x01\0\0\0\x2c" + bytes(4) + b"\1\0\1\0\0\2\2\x44\1\0"
    (folder / "a.gif").write_bytes((folder / "one.gif").read_bytes().rstrip(b";") + frame * 20_000 + b";")
    return folder / "a.gif"


def large_frames(folder: Path) -> Path:
    import av

    with av.open(str(folder / "a.mp4"), "w") as file:
        stream = file.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 8000
        file.mux(stream.encode(av.VideoFrame(8000, 8000, "yuv420p")))
        file.mux(stream.encode())
    return folder / "a.mp4"


def claiming_ppm(folder: Path) -> Path:
    (folder / "a.ppm").write_bytes(b"P6 60000 60000 255\n" + bytes(100))
    return folder / "a.ppm"


def plain_picture(kind: str, mode: str, side: int, **settings) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        Image.new(mode, (side, side)).save(folder / f"a.{kind}", **settings)
        return folder / f"a.{kind}"

    return make


def long_comment(folder: Path) -> Path:
    said = PngImagePlugin.PngInfo()
    said.add_text("comment", "x" * (64 << 20), zip=True)
    Image.new("RGB", (10, 10)).save(folder / "a.png", pnginfo=said)
    return folder / "a.png"


def graph(folder: Path, **said: str) -> Path:
    """An ONNX file that fills a terabyte with zeros."""
    from onnx import TensorProto, helper, save

    size = helper.make_tensor("size", TensorProto.INT64, [1], [1 << 38])
    found = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    made = helper.make_graph([helper.make_node("ConstantOfShape", ["size"], ["y"])], "graph", [], found, [size])
    model = helper.make_model(made, ir_version=9, opset_imports=[helper.make_opsetid("", 17)])
    helper.set_model_props(model, said)
    save(model, folder / "a.onnx")
    return folder / "a.onnx"


def deep_graph(folder: Path) -> Path:
    return graph(folder, unrolled="[" * 2_000_000)


def tokenizer(folder: Path) -> Path:
    """A run whose tokenizer is nested 100,000 deep, vouched for by its manifest."""
    from unrolled import run as folders
    from unrolled.run import Step, save_step

    config = {"format": folders.FORMAT, "task": "language", "config": {}, "data": {}, "baselines": {}, "evaluate": {}}
    folders.write_json(folder / "config.json", config)
    codec = {"kind": "bpe", "symbols": [], "tokenizer": '{"model":' * 100_000, "records": False, "labels": []}
    folders.write_json(folder / "codec.json", codec)
    save_step(folder, Step(1, {}, {}, {}), best=True)
    return folder / "config.json"


BOMBS = {
    "a picture of 900 million pixels": Format(png_claiming, seeing),
    "a GIF of 3.6 billion pixels": Format(gif_claiming, seeing),
    "a GIF of 3.6 billion pixels, as a clip": Format(gif_claiming, watching),
    "a BMP of 3.6 billion pixels": Format(changed_at(seen("bmp"), (18, SIXTY_THOUSAND), (22, SIXTY_THOUSAND)), seeing),
    "a PPM of 3.6 billion pixels": Format(claiming_ppm, seeing),
    "a WebP of 64 million pixels": Format(plain_picture("webp", "RGB", 8_000, lossless=True, method=0), seeing),
    "a TIFF of 324 million pixels": Format(plain_picture("tiff", "1", 18_000, compression="tiff_deflate"), seeing),
    "a PNG with 64 megabytes of comment": Format(long_comment, seeing),
    "a GIF of 20,000 large frames": Format(many_frames, watching),
    "a film of 64 million pixels a frame": Format(large_frames, watching),
    "ten hours of silence in a FLAC": Format(silent_flac, hearing),
    "two hours of silence in an OGG": Format(silent_ogg, hearing),
    "a FLAC that claims three days": Format(changed_at(heard("flac"), (22, b"\xff\xff\xff\xff")), hearing),
    "an MP3 that claims two years": Format(claiming_mp3, hearing),
    "half a gigabyte of zeros, zipped": Format(zeros_zipped, task(language)),
    "zeros in bzip2": Format(zeros_packed(bz2.open, "a.txt.bz2"), task(language)),
    "zeros in xz": Format(zeros_packed(lzma.open, "a.txt.xz"), task(language)),
    "a zipped table of zeros": Format(zeros_packed(gzip.open, "a.csv.gz"), task(classify)),
    "zeros in xz as JSON lines": Format(zeros_packed(lzma.open, "a.jsonl.xz"), task(classify)),
    "a Parquet cell that is a thousand rows": Format(repeated_cell, task(classify)),
    "two Parquet cells of 100 megabytes": Format(packed_cells, task(classify)),
    "JSON 200,000 lists deep": Format(nested_json, captions),
    "JSON 100,000 objects deep": Format(nested_jsonl, task(classify)),
    "JSON with a number of 5 million digits": Format(long_number, captions),
    "a header of a billion vectors": Format(claiming_vectors, vector_files.read),
    "a binary header of a billion vectors": Format(claiming_binary, vector_files.read),
    "a zipped vector of 128 million numbers": Format(endless_row, vector_files.read),
    "a zip archive": Format(zip_archive, vector_files.read),
    "an npz archive": Format(npz, vector_files.read),
    "a matrix of a terabyte": Format(npy(b"\1\0", len(NPY).to_bytes(2, "little"), NPY), vector_files.read),
    "a matrix with a header of 4 GB": Format(npy(b"\2\0", b"\xff\xff\xff\xff", b"{" * 5000), vector_files.read),
    "a pickle": Format(pickled, vector_files.read),
    "n-grams that claim a trillion": Format(claiming_arpa, arpa.read),
    "a header of a terabyte of tensors": Format(claiming_tensors, resnet.read),
    "200,000 empty tensors": Format(many_tensors, resnet.read),
    "a tensor that claims four terabytes": Format(lying_tensor, resnet.read),
    "a graph that fills a terabyte": Format(graph, runtime.load),
    "a graph whose metadata are 2 million lists deep": Format(deep_graph, runtime.load),
    "a tokenizer nested 100,000 deep": Format(tokenizer, lambda path: api.load(path.parent)),
}


def peak() -> int:
    """Kilobytes of memory held at most so far."""
    return int(next(line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")))


def measured(name: str, folder: Path, pipe) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (BYTES, BYTES))
    form = BOMBS[name]
    (folder / "small").mkdir()
    for make, read in WARMING:
        attempt(read, make(folder / "small"))
    path = form.make(folder)
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew: what made the file does not count
    before, began = peak(), time.process_time()
    told = attempt(form.read, path)
    pipe.send((told, time.process_time() - began, (peak() - before) / 1024))


# what imports the libraries
WARMING = (
    (seen("png"), seeing), (heard("wav"), hearing), (text, task(language)), (parquet, task(classify)), (film, watching),
    (pickled, vector_files.read),
)  # fmt: skip


TO_MAKE = (  # five seconds and more
    "two hours of silence in an OGG", "zeros in xz", "zeros in xz as JSON lines", "half a gigabyte of zeros, zipped",
    "two Parquet cells of 100 megabytes", "ten hours of silence in a FLAC", "zeros in bzip2", "a picture of 900 million pixels",
)  # fmt: skip


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in TO_MAKE)) for name in BOMBS])
def test_a_file_that_would_become_a_large_one_is_refused_at_once(name, tmp_path):
    here, there = processes.Pipe(duplex=False)
    child = processes.Process(target=measured, args=(name, tmp_path, there), daemon=True)
    child.start()
    there.close()
    assert here.poll(180), "it takes over three minutes"
    told, seconds, megabytes = here.recv()
    child.join(10)
    print(f"{name}: {told}, {seconds:.2f} s of processor, {megabytes:.0f} MB")
    assert told == "refused", told
    assert seconds < 2  # one on a machine that is not busy with others
    assert megabytes < 300
