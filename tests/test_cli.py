"""The command line as a person meets it: what is printed where, and what is said when something cannot be done.

Every mistake ends in one message on standard error and an exit code, and leaves nothing half-written behind.
"""

import bz2
import gzip
import hashlib
import io
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch

from unrolled import __version__, api, cli, run
from unrolled.cells import CELLS
from unrolled.config import options
from unrolled.tasks import language

SONG = "the cat sat on the mat – é🎉日.\nthe rat ate the cat's hat!\n"
SIZES = {"steps": 4, "hidden": 8, "layers": 1, "embedding": 4, "batch": 4, "length": 16, "evaluations": 2}
SIZES |= {"device": "cpu", "precision": "float32"}
SMALL = [word for name, value in SIZES.items() for word in (f"--{name}", str(value))]
BYTES = np.random.default_rng(1).bytes(6000)  # noise: about half of it is no UTF-8


class Said(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def say(capsys, monkeypatch, tmp_path):
    """Runs the command line in an empty folder and gives its exit code and what it wrote."""
    monkeypatch.chdir(tmp_path)

    def call(*words) -> Said:
        monkeypatch.setattr(cli, "BEGAN", time.monotonic())
        capsys.readouterr()
        code = cli.run([str(word) for word in words])
        return Said(code, *capsys.readouterr())

    return call


@pytest.fixture
def refused(say, tmp_path):
    """Runs a command that must be refused with a code and a message, and must leave every file as it was."""

    def call(code: int, message: str, *words) -> None:
        before = contents(tmp_path)
        said = say(*words)
        assert re.search(message, said.err), said.err
        assert said.code == code
        assert said.out == ""
        assert said.err.count("error: ") == 1
        assert "Traceback" not in said.err
        assert contents(tmp_path) == before

    return call


def contents(folder: Path) -> dict[str, bytes | None]:
    return {str(path): path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A small finished run."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "song.txt").write_text(SONG * 40)
    return api.train("language", folder / "song.txt", out=folder / "run", quiet=True, **SIZES).folder


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """A small finished run that writes for a label."""
    folder = tmp_path_factory.mktemp("labelled")
    (folder / "names.csv").write_text("name,country\n" + "Anna,Italy\nErik,Norway\n" * 60)
    return api.train(
        "language", folder / "names.csv", out=folder / "run", quiet=True, column="name", condition="country", **SIZES
    ).folder


@pytest.fixture
def unfinished(say, tmp_path, monkeypatch):
    """A run stopped by Ctrl-C at step 2 of 4, and what was said then."""
    (tmp_path / "song.txt").write_text(SONG * 40)
    with monkeypatch.context() as patch:
        patch.setattr(language, "glimpse", lambda run, seed: signal.raise_signal(signal.SIGINT) or "")
        return say("train", "language", "song.txt", "--out", "run", *SMALL)


def python(*words, **rest) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, *map(str, words)], capture_output=True, text=True, timeout=300, **rest)


# --- help


def test_help_imports_click_alone():
    script = (
        "import sys\nfrom unrolled import cli\n"
        "codes = [cli.run(words) for words in (['--help'], ['--version'], ['trian'], ['train', '--help'])]\n"
        "assert codes == [0, 0, 2, 0], codes\n"
        "heavy = {'torch', 'numpy', 'accelerate', 'safetensors', 'tokenizers'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = python("-c", script)
    assert (done.returncode, done.stderr.count("\n")) == (0, 2), done.stderr  # the two lines are on `trian`


def test_help_lists_every_verb(say):
    said = say("--help")
    assert (said.code, said.err) == (0, "")
    assert [line.split()[0] for line in said.out.split("Verbs:\n")[1].splitlines()] == list(cli.VERBS)


def test_version_is_printed(say):
    assert say("--version") == (0, f"unrolled {__version__}\n", "")


@pytest.mark.parametrize("verb", cli.VERBS)
def test_every_verb_has_help(say, verb):
    said = say(verb, "--help")
    assert (said.code, said.err) == (0, "")
    assert f"Usage: unrolled {verb}" in said.out


@pytest.mark.parametrize(
    ("words", "settings"),
    [(("train", "language"), language.Config), (("sample",), language.Sample), (("score",), language.Score)],
)
def test_help_shows_every_setting_with_its_default(say, words, settings):
    text = " ".join(say(*words, "--help").out.split()).replace("; ", " ")  # which stands between what two tasks say of one
    for setting in options(settings):
        shown = "" if setting.default in (None, (), "") else f" [{str(setting.default).lower()}]"
        assert setting.name == "data" or f"{setting.help}{shown} ".replace("; ", " ") in text
        assert setting.name == "data" or f" {setting.flag} " in text


def test_flags_become_settings(say, tmp_path):
    (tmp_path / "a.txt").write_text(SONG * 40)
    (tmp_path / "b.txt").write_text(SONG * 2)
    words = ["--tied", "--dev", "b.txt", "--dev", "b.txt", "--weight-decay", "0.5", "--cell", "gru", "--no-tied"]
    assert say("train", "language", "a.txt", "--out", "run", *SMALL, *words).code == 0
    config = json.loads((tmp_path / "run" / "config.json").read_text())["config"]
    assert config | SIZES == config
    assert (config["tied"], config["dev"], config["weight_decay"], config["cell"]) == (False, ["b.txt"] * 2, 0.5, "gru")


@pytest.mark.parametrize(("typed", "offered"), [("tr", "plain,train"), ("sample --temp", "plain,--temperature")])
def test_the_shell_completes_verbs_and_flags(say, monkeypatch, capsys, typed, offered):
    words = typed.split()
    monkeypatch.setenv("_UNROLLED_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "unrolled " + typed)
    monkeypatch.setenv("COMP_CWORD", str(len(words)))
    with pytest.raises(SystemExit, match="0"):
        say()
    assert capsys.readouterr().out.strip() == offered


# --- training


def test_training_prints_the_folder_on_stdout_and_the_rest_on_stderr(say, tmp_path):
    (tmp_path / "song.txt").write_text(SONG * 40)
    said = say("train", "language", "song.txt", *SMALL)
    assert (said.code, said.out) == (0, "runs/language\n")
    for line in (
        r"read 1 file: 2,280 characters, \d+ different characters; 2,052 characters to train on, 228 to validate on",
        r"model: lstm, 1 x 8 units, [\d,]+ weights; about \d+ MB of memory",
        r"baseline 6-gram: \d\.\d{3} bits_per_character",
        r"baseline bzip2: \d\.\d{3} bits_per_character",
        r"step 4/4 · 0 s left · [\d,]+ characters/s · train \d\.\d{3} · dev \d\.\d{3} bits/character",
        r"runs/language: \d\.\d{3} nats_per_symbol, \d\.\d{3} bits_per_character, \d+\.\d{3} perplexity",
    ):
        assert re.search(f"^{line}", said.err, re.M), said.err
    assert "\r" not in said.err  # live lines are for terminals
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["language"]


def test_a_second_run_takes_the_next_free_name(say, tmp_path):
    (tmp_path / "song.txt").write_text(SONG * 40)
    printed = [say("train", "language", "song.txt", "--quiet", *SMALL) for _ in range(3)]
    assert printed == [(0, f"runs/language{number}\n", "") for number in ("", "-2", "-3")]


def test_text_can_come_through_a_pipe(say, tmp_path, monkeypatch):
    (tmp_path / "song.txt").write_text(SONG * 40)
    say("train", "language", "song.txt", "--out", "a", *SMALL)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO((SONG * 40).encode())))
    assert say("train", "language", "-", "--out", "b", *SMALL).code == 0
    weights = [run.load_step(tmp_path / name, "best").weights for name in "ab"]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_packed_files_and_folders_are_read(say, tmp_path):
    texts = tmp_path / "texts"
    texts.mkdir()
    (texts / "a.txt.gz").write_bytes(gzip.compress((SONG * 30).encode()))
    (texts / "b.bz2").write_bytes(bz2.compress((SONG * 10).encode()))
    (texts / "c.png").write_bytes(b"\x89PNG\0\0")
    assert "read 2 files: 2,280 characters" in say("train", "language", "texts", "--out", "run", *SMALL).err


def test_weights_can_be_taken_from_another_run(say, tmp_path, trained):
    (tmp_path / "more.txt").write_text("quiz\n" * 200)
    said = say(
        "train", "language", "more.txt", "--from", trained, "--out", "tuned", "--steps", "2", "--batch", "2", "--length", "8"
    )
    assert (said.code, said.out) == (0, "tuned\n")
    about = json.loads((tmp_path / "tuned" / "config.json").read_text())
    assert (about["config"]["hidden"], about["from"]) == (8, str(trained))


def test_an_interrupted_run_says_how_to_go_on_and_ends_as_an_unbroken_one(say, tmp_path, unfinished):
    assert unfinished.code == 130
    assert unfinished.err.endswith("error: stopped at step 2 of 4; nothing is lost\n  next:  unrolled train --resume run\n")
    assert "at step 2 of 4; unrolled train --resume run" in say("info", "run").out
    assert say("train", "--resume", "run").code == 0
    assert say("train", "language", "song.txt", "--out", "unbroken", *SMALL).code == 0
    weights = [run.load_step(tmp_path / name, "last").weights for name in ("run", "unbroken")]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_ctrl_c_in_the_terminal_stops_and_saves(tmp_path):
    (tmp_path / "song.txt").write_text(SONG * 40)
    words = ["train", "language", "song.txt", "--out", "run", *SMALL, "--steps", "1000000", "--evaluations", "100000"]
    words = [sys.executable, "-m", "unrolled", *words]
    with subprocess.Popen(words, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as going:
        while "step" not in going.stderr.readline():
            assert going.poll() is None
        going.send_signal(signal.SIGINT)
        rest = going.stderr.read()
    assert going.returncode == 130
    assert re.search(r"error: stopped at step \d+ of 1000000; nothing is lost\n  next:  unrolled train --resume run\n$", rest)
    assert run.load_step(tmp_path / "run", "last", with_state=True).number > 0


def test_ctrl_c_while_reading_leaves_nothing(refused, tmp_path, monkeypatch):
    (tmp_path / "song.txt").write_text(SONG * 40)
    monkeypatch.setattr(language, "read", lambda *_: signal.raise_signal(signal.SIGINT))
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs begin with it ignored
    refused(130, "error: interrupted$", "train", "language", "song.txt", "--out", "run", *SMALL)


def test_the_demo_trains_and_shows_what_it_writes(say, tmp_path, monkeypatch):
    def small(folder: Path) -> list[Path]:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "song.txt").write_text(SONG * 400)
        return [folder / "song.txt"]

    monkeypatch.setattr(language, "demo", small)
    monkeypatch.setattr(language, "PASSES", 1)
    monkeypatch.setattr(language, "_steps_of_256", lambda config, data: 10)
    said = say("demo", "language", "--out", "runs/x", "--minutes", "5")
    assert said.code == 0
    assert set(said.out) - {"\n"} <= set(SONG)
    assert len(said.out) > 250
    assert said.err.endswith(" info runs/x\n")
    assert Path("runs/x-data/song.txt").exists()  # so that the report's command runs again, and `diagnose` finds them


def test_the_demo_can_write_its_data_alone(say):
    said = say("demo", "classify", "--data", "made")
    assert (said.code, said.out, said.err) == (0, "made/reviews.csv\n", "")
    assert [path.name for path in Path().iterdir() if path.name in ("made", "runs")] == ["made"]
    assert Path("made/reviews.csv").read_text().startswith("review,stars\n")


# --- writing and scoring


def test_a_text_is_streamed_to_stdout_after_its_prompt(say, trained):
    said = say("sample", trained, "--prompt", "the ", "--length", "30", "--seed", "1")
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("the ")
    assert len(said.out) == len("the ") + 30 + len("\n")
    assert say("sample", trained, "--prompt", "the ", "--length", "30", "--seed", "1") == said


def test_texts_as_json_are_one_object_a_line(say, trained):
    said = say("sample", trained, "--number", "3", "--length", "20", "--seed", "1", "--json", "--prompt", "a")
    answers = [json.loads(line) for line in said.out.splitlines()]
    assert [answer.keys() for answer in answers] == [{"text", "seconds"}] * 3
    assert [len(answer["text"]) for answer in answers] == [21] * 3
    plain = say("sample", trained, "--number", "3", "--length", "20", "--seed", "1", "--prompt", "a")
    between = "\n---\n" if any("\n" in answer["text"] for answer in answers) else "\n"
    assert plain.out == between.join(answer["text"] for answer in answers) + "\n"


def test_a_symbol_never_seen_is_named_on_stderr(say, trained):
    said = say("sample", trained, "--prompt", "Жa", "--length", "3")
    assert said.err == "note: `Ж` never seen in training; read as `unknown`\n"
    assert said.out.startswith("Жa")


def test_a_prompt_that_is_no_utf8_goes_out_as_it_came(trained, capsysbinary):
    assert cli.run(["sample", str(trained), "--prompt", "\udcff", "--length", "1"]) == 0
    assert capsysbinary.readouterr().out.startswith(b"\xff")


def test_a_label_is_written_for(say, labelled):
    assert say("sample", labelled, "--label", "Norway", "--number", "2").code == 0


def test_a_score_is_a_table_or_json_a_symbol(say, tmp_path, trained):
    (tmp_path / "a.txt").write_text("the hat\n")
    lines = [json.loads(line) for line in say("score", trained, "a.txt", "--json").out.splitlines()]
    *symbols, measures = lines
    assert "".join(symbol["text"] for symbol in symbols) == "the hat\n"
    total = sum(symbol["nats"] for symbol in symbols)
    assert measures["nats_per_symbol"] == pytest.approx(total / 8)
    assert measures["bits_per_character"] == pytest.approx(total / np.log(2) / 8)
    assert measures["perplexity"] == pytest.approx(np.exp(total / 8))
    assert measures.keys() == {
        "nats_per_symbol", "bits_per_character", "perplexity", "symbols", "characters", "unknown", "protocol", "seconds",
    }  # fmt: skip
    table = dict(line.split("  ", 1) for line in say("score", trained, "a.txt").out.splitlines())
    assert table.keys() == measures.keys()
    assert float(table["nats_per_symbol"]) == pytest.approx(total / 8, abs=1e-4)


def test_a_score_reads_a_pipe_and_several_files(say, tmp_path, trained, monkeypatch):
    (tmp_path / "a.txt").write_text("the hat\n")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"the rat\n")))
    said = say("score", trained, "a.txt", "-", "--json")
    assert json.loads(said.out.splitlines()[-1])["characters"] == 16


@pytest.mark.parametrize(
    ("flag", "protocol"), [("--dynamic", "the weights follow the text"), ("--cache", "a cache of 2000 states")]
)
def test_a_score_can_adapt(say, tmp_path, trained, flag, protocol):
    (tmp_path / "a.txt").write_text("the hat\n" * 20)
    said = say("score", trained, "a.txt", flag)
    assert protocol in said.out
    assert said.err == ""


# --- looking


def test_info_tells_a_run(say, trained):
    about = json.loads(say("info", trained, "--json").out, parse_constant=pytest.fail)
    assert (about["task"], about["state"]) == ("language", "finished, 4 steps")
    assert about["validation"].keys() >= {"nats_per_symbol", "bits_per_character", "perplexity"}
    assert about["baselines"].keys() == {"6-gram", "bzip2"}
    assert about["settings"]["hidden"] == 8
    plain = say("info", trained).out
    assert f"state: finished, 4 steps\nvalidation\n  nats_per_symbol     {about['validation']['nats_per_symbol']:.4f}\n" in plain


def test_compare_shows_where_runs_differ(say, tmp_path, trained):
    (tmp_path / "song.txt").write_text(SONG * 40)
    say("train", "language", "song.txt", "--out", "other", *SMALL, "--cell", "gru")
    rows = json.loads(say("compare", trained, "other", "--json").out, parse_constant=pytest.fail)
    assert rows["cell"] == ["lstm", "gru"]
    assert "hidden" not in rows
    assert len(rows["bits_per_character"]) == 2
    header, *lines = say("compare", trained, "other").out.splitlines()
    assert header.split() == [str(trained), "other"]
    assert {line.split()[0] for line in lines} == set(rows)


def test_an_unfinished_run_can_be_compared(say, trained, unfinished):
    rows = json.loads(say("compare", "run", trained, "--json").out)
    assert rows["bits_per_character"][0] is None
    assert say("compare", "run", trained).code == 0


def test_doctor_tells_what_every_cell_runs_through(say):
    facts = json.loads(say("doctor", "--json").out)
    assert {f"{cell} {what}" for cell in CELLS for what in ("training", "stepping")} <= facts.keys()
    assert facts["torch"] == torch.__version__
    assert [line.split("  ")[0] for line in say("doctor").out.splitlines()] == list(facts)


def test_writing_and_scoring_import_no_accelerate(trained, tmp_path):
    (tmp_path / "a.txt").write_text("the hat\n")
    script = (
        "import sys\nfrom unrolled import cli\n"
        f"assert cli.run(['sample', {str(trained)!r}, '--length', '3']) == 0\n"
        f"assert cli.run(['score', {str(trained)!r}, 'a.txt']) == 0\n"
        "assert 'accelerate' not in sys.modules and 'torch' in sys.modules\n"
    )
    done = python("-c", script, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_looking_imports_the_page_of_the_run_alone_and_nothing_for_other_tasks(trained, tmp_path):
    script = (
        "import sys\nfrom unrolled import cli\n"
        f"assert cli.run(['look', {str(trained)!r}, 'the hat', '--out', 'a.html']) == 0\n"
        "pages = {name for name in sys.modules if name.startswith('unrolled.tasks.')}\n"
        "assert pages == {'unrolled.tasks.language'}, pages\n"
        "assert not {'numba', 'matplotlib', 'accelerate', 'unrolled.glove', 'unrolled.vectors'} & set(sys.modules)\n"
    )
    done = python("-c", script, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_the_help_of_a_verb_on_a_run_has_the_flags_of_its_task(say, trained):
    of_all, of_run = say("look", "--help").out, say("look", trained, "--help").out
    assert "--word" in of_all and "--unit" in of_all
    assert "--word" not in of_run and "--unit" in of_run
    said = say("look", trained, "the hat", "--word", "1")
    assert said.code == 2 and f"`--word` is for runs of `tag`; `{trained}` is a run of `language`" in said.err


# --- mistakes in what was typed


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("trian", r"`trian` is not a verb; known are train, sample, .*\n  next:  did you mean `train`\?"),
        ("xyzzy", r"`xyzzy` is not a verb; known are .*\n  next:  `unrolled --help` lists them"),
        ("--hlep", r"`--hlep` is not an option of `unrolled`\n  next:  did you mean `--help`\?"),
        ("train language a --minutes 1 --steps 5", r"`--minutes` and `--steps` were both given; train by one of them"),
        ("train", r"`unrolled train` needs a task \(language, embed, .*, wavenet\) and data, or --resume RUN"),
        ("train langage x", r"`langage` is not a task; known are language, .*\n  next:  did you mean `language`\?"),
        ("train x.txt", r"`x.txt` is not a task; known are language"),
        ("train language", r"Missing argument 'DATA…'\.\n  next:  `unrolled train language --help` shows how"),
        ("train language a --hiden 3", r"`--hiden` is not an option of `unrolled train language`\n.* did you mean `--hidden`\?"),
        ("train language a --xyzzy", r"`--xyzzy` is not an option of .*\n  next:  `unrolled train language --help` lists them"),
        ("train language a --hidden many", r"'many' is not a valid integer"),
        ("train language a --hidden", r"Option '--hidden' requires an argument"),
        ("train language a --hidden 0", r"`--hidden` got `0`; allowed is from 1 to 100000$"),
        ("train language song.txt --layers 100000", r"`--layers` got `100000`; allowed is from 1 to \d+$"),
        ("train language a --holdout 0.9", r"`--holdout` got `0.9`; allowed is from 0.001 to 0.5$"),
        ("train language a --dropout nan", r"`--dropout` got `nan`; allowed is from 0 to 0.95$"),
        ("train language a --cell lsmt", r"`--cell` got `lsmt`; allowed are rnn, .*, lstm\n  next:  did you mean `lstm`\?"),
        ("train language a --symbols letters", r"`--symbols` got `letters`; allowed are characters, bytes, words, bpe"),
        ("train language a --device tpu", r"`--device` got `tpu`; allowed are auto, cpu, cuda, mps"),
        ("train --resume a language b", r"`--resume` goes on with a run as it was started\n  next:  unrolled train --resume a"),
        ("demo tag --data d --minutes 1", "`--data` writes the data and trains nothing\n  next:  leave `--out`"),
        ("demo langage", r"`langage` is not a task; known are language, .*\n  next:  did you mean `language`\?"),
        ("sample", r"Missing argument 'RUN'"),
        ("sample a --temprature 1", r"`--temprature` is not an option of .*\n  next:  did you mean `--temperature`\?"),
        ("sample a --temperature -1", r"`--temperature` got `-1.0`; allowed is from 0 to 100"),
        ("sample a --top-k 0", r"`--top-k` got `0`; allowed is at least 1"),
        ("sample a --top-p 0", r"`--top-p` got `0.0`; allowed is from 1e-06 to 1"),
        ("sample a --min-p 2", r"`--min-p` got `2.0`; allowed is from 0 to 1"),
        ("sample a --beam 0", r"`--beam` got `0`; allowed is from 1 to 256"),
        ("sample a --number 0", r"`--number` got `0`; allowed is from 1 to 1024"),
        ("sample a b", r"Got unexpected extra argument \(b\)"),
        ("score a", r"Missing argument 'FILE…'"),
        ("info", r"Missing argument 'RUN'"),
        ("compare", r"Missing argument 'RUN RUN…'"),
        ("doctor now", r"Got unexpected extra argument \(now\)"),
    ],
)  # fmt: skip
def test_what_was_typed_wrong_is_told(refused, words, message):
    refused(2, message, *words.split())


def test_one_run_is_not_compared(refused, trained):
    refused(2, "`compare` got 1 run; it takes two or more", "compare", trained)


LONG = ("steps", "evaluations", "layers")  # more of them only takes longer


@pytest.mark.parametrize(
    "setting", [o for o in options(language.Config) if o.type is int and o.name not in LONG], ids=lambda o: o.name
)
def test_a_number_without_measure_is_no_traceback(say, tmp_path, setting):
    (tmp_path / "song.txt").write_text(SONG * 40)
    said = say("train", "language", "song.txt", "--out", "run", *SMALL, setting.flag, 10**30)
    assert said.code in (0, 2, 4)
    assert (tmp_path / "run").exists() == (said.code == 0)


# --- mistakes in the text

ROWS = '{"name": "Anna", "country": "Italy"}\n'


@pytest.mark.parametrize(
    ("files", "words", "message"),
    [
        ({"a.txt": ""}, "a.txt", r"the text is empty\n  where: a.txt"),
        ({"a.txt": "\ufeff"}, "a.txt", r"the text is empty\n  where: a.txt"),
        ({"a.txt.gz": b""}, "a.txt.gz", r"the text is empty"),
        ({"a.txt": "x" * 3000}, "a.txt", r"the text is one symbol again and again: there is nothing to learn\n  where: a.txt"),
        ({"a.txt": "x"}, "a.txt", r"the text has \d symbols to train on and \d to validate on; one step takes 64, valid"),
        ({"a.txt": SONG}, "a.txt", r"the text has 51 symbols .* takes 64, .*\n.*\n  next:  give more text, or lower --batch"),
        ({"a.txt": BYTES}, "a.txt", r"byte \d+ of `a.txt` is not utf-8: .*\n  where: a.txt: byte \d+\n  next:  name the file's own `--encoding`"),  # noqa: E501
        ({"a.txt": b"abc\xffdef" * 99}, "a.txt", r"byte 3 of `a.txt` is not utf-8: 0xff \(invalid start byte\)"),
        ({"a.txt": SONG * 40, "b": b"ab\xff"}, "a.txt --dev b", r"byte 2 of `b` is not utf-8"),
        ({"a.txt": SONG * 40}, "a.txt --encoding utf-88", r"`--encoding` got `utf-88`, which Python does not know"),
        ({"a.gz": BYTES}, "a.gz", r"`a.gz` is damaged: it does not unpack to its end"),
        ({"a.xz": BYTES}, "a.xz", r"`a.xz` is damaged: it does not unpack to its end"),
        ({"a.bz2": bz2.compress(SONG.encode())[:-9]}, "a.bz2", r"`a.bz2` is damaged: it does not unpack to its end"),
        ({"d/a": b"\0\1"}, "d", r"the folder `d` has no text file in it"),
        ({"book.txt": SONG * 40}, "bok.txt", r"`bok.txt` does not exist\n  next:  did you mean `book.txt`\?"),
        ({"a.txt": SONG * 40}, "a.txt --dev b.txt", r"`b.txt` does not exist"),
        ({"a.txt": SONG}, "a.txt --column t", r"`--column t` needs a table; `a.txt` is none of .jsonl, .csv, .tsv"),
        ({"a.csv": SONG}, "a.csv --condition t", r"`--condition` needs `--column`"),
        ({"a.jsonl": ROWS}, "a.jsonl --column nam", r"no column `nam`; the row has name, country\n  where: a.jsonl:1\n.*`name`"),
        ({"a.jsonl": ROWS + "{"}, "a.jsonl --column name", r"not JSON: .*\n  where: a.jsonl:2"),
        ({"a.jsonl": ROWS + "[1]"}, "a.jsonl --column name", r"each line is a JSON object with named fields\n  where: a.jsonl:2"),
        ({"a.csv": "a,b\n1,2\n3\n"}, "a.csv --column b", r"this row has 1 cell; the first row has 2\n  where: a.csv:3"),
        ({"a.csv": "a,b\n"}, "a.csv --column b", r"the text is empty"),
        ({"a.jsonl": ROWS * 99, "b.jsonl": ROWS.replace("Italy", "Itly")},
         "a.jsonl --dev b.jsonl --column name --condition country",
         r"`Itly` is not a label; known are Italy\n  where: b.jsonl:1\n  next:  did you mean `Italy`\?"),
    ],
)  # fmt: skip
def test_a_text_that_cannot_be_learnt_is_named(refused, tmp_path, files, words, message):
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    refused(2, message, "train", "language", *words.split(), "--out", "run", *SMALL)


def test_a_refused_run_leaves_no_empty_folder_above_it(refused):
    refused(2, "`a.txt` does not exist", "train", "language", "a.txt", *SMALL)


def test_an_empty_pipe_is_told(refused, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"")))
    refused(2, "the text is empty", "train", "language", "-", "--out", "run", *SMALL)


def test_a_terminal_is_no_pipe(refused, monkeypatch):
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    refused(2, "`-` reads standard input, and nothing is piped into it", "train", "language", "-", "--out", "run", *SMALL)


def test_noise_can_be_learnt_as_bytes(say, tmp_path):
    (tmp_path / "noise").write_bytes(BYTES)
    assert say("train", "language", "noise", "--out", "run", "--symbols", "bytes", *SMALL).code == 0


def test_too_few_minutes_are_told(refused, tmp_path, monkeypatch):
    (tmp_path / "song.txt").write_text(SONG * 40)
    monkeypatch.setattr("unrolled.fit.seconds_per_step", lambda *_, **__: 3.0)
    words = ["train", "language", "song.txt", "--out", "run", "--minutes", "0.1", "--device", "cpu"]
    refused(
        2, r"`--minutes 0.1` leaves time for [01] steps of 3 s after reading\n  next:  give more minutes, or a smaller", *words
    )


def test_other_sizes_than_the_weights_have_are_refused(refused, tmp_path, trained):
    (tmp_path / "song.txt").write_text(SONG * 40)
    words = ["train", "language", "song.txt", "--from", trained, "--out", "run", "--hidden", "9"]
    refused(2, r"`--hidden 9` does not fit the weights of --from, which have hidden 8\n  next:  leave `--hidden` out", *words)


def test_a_finished_run_is_not_resumed(refused, trained):
    refused(
        2, "is finished: it took all its 4 steps\n  next:  to train further, start from its weights", "train", "--resume", trained
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"`a.txt` does not exist"),
        (b"", r"the text to score is empty"),
        (b"ab\xff", r"byte 2 of `a.txt` is not utf-8"),
    ],
)
def test_a_text_that_cannot_be_scored_is_named(refused, tmp_path, trained, content, message):
    if content is not None:
        (tmp_path / "a.txt").write_bytes(content)
    refused(2, message, "score", trained, "a.txt")


def test_labels_are_asked_for_and_checked(refused, tmp_path, trained, labelled):
    (tmp_path / "a.txt").write_text("Anna")
    refused(2, "this run writes for a label; `--label` is one of Italy, Norway", "sample", labelled)
    refused(
        2,
        r"`Itly` is not a label; known are Italy, Norway\n  next:  did you mean `Italy`\?",
        "sample",
        labelled,
        "--label",
        "Itly",
    )
    refused(2, r"this run was trained with labels\n  next:  name one with --label", "score", labelled, "a.txt")
    refused(2, "`x` is not a label; this model was trained without labels", "sample", trained, "--label", "x")
    refused(2, "`x` is not a label; this model was trained without labels", "score", trained, "a.txt", "--label", "x")


def test_an_empty_stop_text_is_refused(refused, trained):
    refused(2, "`--stop` got an empty text, which is found everywhere", "sample", trained, "--stop", "")


def test_two_ways_to_adapt_are_one_too_many(refused, tmp_path, trained):
    (tmp_path / "a.txt").write_text("Anna")
    refused(
        2, "`--dynamic` and `--cache` were both given; score with one of them", "score", trained, "a.txt", "--dynamic", "--cache"
    )


# --- run folders that are none, or no longer


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def spoil_pointers(folder: Path) -> None:
    for name in ("best", "last"):
        (folder / name).write_text("four")


def remove_pointers(folder: Path) -> None:
    for name in ("best", "last"):
        (folder / name).unlink()


def link(folder: Path) -> None:
    (folder / "codec.json").rename(folder.parent / "codec.json")
    (folder / "codec.json").symlink_to("../codec.json")


def vouch(folder: Path, name: str, data: bytes) -> None:
    """Put a file into a run and make every checksum fit, as one who builds a run folder by hand can."""
    step = folder / "steps" / "4"
    manifest = step / "manifest.json"
    (folder if name in ("config.json", "codec.json") else step).joinpath(name).write_bytes(data)
    if name != "manifest.json":
        about = json.loads(manifest.read_text())
        about["files"][name] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
        manifest.write_text(json.dumps(about))
    for pointer in ("best", "last"):
        (folder / pointer).write_text(f"4 {hashlib.sha256(manifest.read_bytes()).hexdigest()}\n")


def write(name: str, data: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(data)


DAMAGES = {
    "missing": (shutil.rmtree, "there is no run folder `run`\n  next:  `unrolled train` makes one"),
    "a file": (lambda folder: shutil.rmtree(folder) or folder.write_text("x"), "there is no run folder `run`"),
    "empty": (lambda folder: shutil.rmtree(folder) or folder.mkdir(), "`run` is not a run folder: it has no config.json"),
    "not JSON": (write("config.json", b"{"), "`run/config.json` is damaged: "),
    "not UTF-8": (write("config.json", b"\xff"), "`run/config.json` is damaged: "),
    "too deep": (write("config.json", b"[" * 200_000), "`run/config.json` is damaged: "),
    "foreign": (write("config.json", b'{"model_type": "gpt2"}'), "its config.json was not written by unrolled"),
    "newer": (write("config.json", b'{"format": 99, "task": "x"}'), "`run` has format 99; this version reads format 1"),
    "other settings": (lambda folder: flip(folder / "config.json"), "`run/config.json` is damaged"),
    "other symbols": (lambda folder: flip(folder / "codec.json"), "`run/codec.json` is damaged: it is not what its manifest"),
    "other weights": (lambda folder: flip(folder / "steps/4/model.safetensors"), "model.safetensors` is damaged: it is not what"),
    "other manifest": (lambda folder: flip(folder / "steps/4/manifest.json"), "manifest.json` is damaged: it is not what `"),
    "no weights": (lambda folder: (folder / "steps/4/model.safetensors").unlink(), "`.*model.safetensors` is missing: the run is damaged"),  # noqa: E501
    "no step": (lambda folder: shutil.rmtree(folder / "steps"), "`run/steps/4/manifest.json` is missing: the run is damaged"),
    "a link": (link, "`run/codec.json` is a link; a run folder holds plain files"),
    "no tensors": (lambda folder: vouch(folder, "model.safetensors", bytes(99)), "` is damaged: it is no safetensors file"),
    "a wild header": (lambda folder: vouch(folder, "model.safetensors", b"\xff" * 99), "has a header of over 8 MB"),
    "no files": (lambda folder: vouch(folder, "manifest.json", b"{}"), "manifest.json` is damaged: it lists no files"),
    "no pointer": (remove_pointers, "`run` has no saved step\n.*\n  next:  train it first"),
    "wild pointer": (spoil_pointers, "`run/(best|last)` is damaged: it names no step"),
}  # fmt: skip
VERBS = {
    "sample": ["sample", "run"],
    "score": ["score", "run", "song.txt"],
    "info": ["info", "run"],
    "compare": ["compare", "run", "run"],
    "resume": ["train", "--resume", "run"],
    "from": ["train", "language", "song.txt", "--from", "run", "--out", "new", "--steps", "2", "--batch", "2", "--length", "8"],
}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_or_foreign_run_folder_is_refused_by_every_verb(refused, tmp_path, trained, damage, verb):
    shutil.copytree(trained, tmp_path / "run")
    (tmp_path / "song.txt").write_text(SONG * 40)
    breaking, message = DAMAGES[damage]
    breaking(tmp_path / "run")
    refused(2, message, *VERBS[verb])


@pytest.mark.parametrize("codec", [b"[]", b"{}", b'{"kind": "bpe", "symbols": [], "labels": [], "tokenizer": "x"}'])
@pytest.mark.parametrize("verb", ["sample", "score", "from"])
def test_a_codec_that_is_none_is_damaged(refused, tmp_path, trained, verb, codec):
    shutil.copytree(trained, tmp_path / "run")
    (tmp_path / "song.txt").write_text(SONG * 40)
    vouch(tmp_path / "run", "codec.json", codec)
    refused(2, "`run/codec.json` is damaged: it holds no codec", *VERBS[verb])


@pytest.mark.parametrize("config", [b'{"format": 1, "task": "language"}', b'{"format": 1, "task": "language", "config": []}'])
@pytest.mark.parametrize("verb", ["sample", "info", "compare", "resume"])
def test_a_config_without_settings_is_damaged(refused, tmp_path, trained, verb, config):
    shutil.copytree(trained, tmp_path / "run")
    (tmp_path / "run" / "report.json").unlink()  # an unfinished run, so that it may be resumed
    vouch(tmp_path / "run", "config.json", config)
    refused(2, "`run` is not a run folder: its config.json was not written by unrolled", *VERBS[verb])


@pytest.mark.parametrize("report", ["[]", "{}", '{"dev": 3}'])
def test_a_report_without_measures_is_damaged(refused, tmp_path, trained, report):
    shutil.copytree(trained, tmp_path / "run")
    (tmp_path / "run" / "report.json").write_text(report)
    refused(2, "`run/report.json` is damaged: it holds no measures", "info", "run")
    refused(2, "`run/report.json` is damaged: it holds no measures", "compare", "run", "run")


@pytest.mark.parametrize("report", ["", "{", "[" * 200_000])
def test_a_report_that_is_no_json_is_damaged(refused, tmp_path, trained, report):
    shutil.copytree(trained, tmp_path / "run")
    (tmp_path / "run" / "report.json").write_text(report)
    refused(2, "`run/report.json` is damaged: ", "info", "run")


def test_a_run_whose_encoded_text_changed_is_not_resumed(refused, tmp_path, unfinished):
    flip(tmp_path / "run" / "tokens" / "train")
    refused(2, "`run/tokens/train` is not the file this run was started with", "train", "--resume", "run")
    (tmp_path / "run" / "tokens" / "train").unlink()
    refused(2, "cannot go on reading `run/tokens/train`: no such file", "train", "--resume", "run")


def test_a_run_folder_that_is_taken_is_not_written_to(refused, tmp_path, trained):
    (tmp_path / "song.txt").write_text(SONG * 40)
    shutil.copytree(trained, tmp_path / "run")
    (tmp_path / "file").write_text("x")
    start = ["train", "language", "song.txt", *SMALL, "--out"]
    refused(2, "`run` is already there\n  next:  name another folder with --out", *start, "run")
    (tmp_path / "run/report.json").unlink()
    refused(2, "`run` is already there\n  next:  unrolled train --resume run, or another --out", *start, "run")
    refused(2, "`file` is already there\n  next:  name another folder with --out", *start, "file")


# --- what the machine refuses


def test_a_folder_that_cannot_be_made_is_told(refused, tmp_path):
    (tmp_path / "song.txt").write_text(SONG * 40)
    start = ["train", "language", "song.txt", *SMALL, "--out"]
    refused(2, "cannot go on making the run folder `song.txt/run`: ", *start, "song.txt/run")
    refused(2, "name too long", *start, "x" * 300)


@pytest.mark.skipif(os.geteuid() == 0, reason="the administrator may write anywhere")
def test_a_folder_without_leave_to_write_is_told(refused, tmp_path):
    (tmp_path / "song.txt").write_text(SONG * 40)
    (tmp_path / "closed").mkdir(mode=0o500)
    refused(
        2,
        "cannot go on making the run folder `closed/run`: permission denied",
        *["train", "language", "song.txt"],
        "--out",
        "closed/run",
    )


@contextmanager
def limited(what: int, size: int) -> Iterator[None]:
    """This process may have so much of something and no more, as on a full disk or a small machine."""
    before = resource.getrlimit(what)
    resource.setrlimit(what, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(what, before)


@pytest.mark.parametrize(
    ("room", "message"),
    [(1000, "no room left while writing `.*train`"), (3000, "no room left while saving a step to `.*`")],
)
def test_a_disk_too_small_for_a_run_is_a_limit(refused, tmp_path, room, message):
    (tmp_path / "song.txt").write_text(SONG * 40)  # 2,052 bytes of symbols to train on, 2,756 of weights
    with limited(resource.RLIMIT_FSIZE, room):
        words = ["train", "language", "song.txt", "--out", "run", *SMALL]
        refused(4, message + "\n  next:  free some disk space; what was saved before is intact", *words)


def test_a_disk_that_fills_up_while_training_costs_no_saved_step(say, tmp_path):
    (tmp_path / "song.txt").write_text(SONG * 40)
    with limited(resource.RLIMIT_FSIZE, 5000):  # room for the weights, none for the optimiser's two moments of each
        said = say("train", "language", "song.txt", "--out", "run", *SMALL)
    assert said.code == 4
    assert said.err.endswith(
        "error: no room left while saving a step to `run`\n  next:  free some disk space; what was saved before is intact\n"
    )
    assert run.load_step(tmp_path / "run", "last", with_state=True).number == 0
    assert [path.name for path in (tmp_path / "run" / "steps").iterdir()] == ["0"]
    assert say("train", "--resume", "run").code == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
def test_results_that_find_no_room_are_a_limit(trained):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "unrolled", "sample", str(trained), "--length", "9"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 4
    assert done.stderr.startswith("error: no room left while writing")
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


def test_a_reader_that_leaves_the_pipe_is_no_error(trained):
    words = [sys.executable, "-m", "unrolled", "sample", str(trained), "--length", "1000000"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as going:
        assert going.stdout.read(5)
        going.stdout.close()
        assert going.stderr.read() == b""
    assert going.returncode == 0


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_a_device_that_is_not_there_is_told(refused, tmp_path, monkeypatch, device):
    (tmp_path / "song.txt").write_text(SONG * 40)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    message = f"`--device {device}`: this machine has no such device, or its torch cannot use it\n  next:  unrolled doctor"
    for how_long in (["--steps", "4"], ["--minutes", "1"]):
        refused(2, message, "train", "language", "song.txt", "--out", "run", "--device", device, "--hidden", "8", *how_long)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="only Linux tells how much is taken")
def test_a_net_larger_than_memory_is_a_limit(refused, tmp_path):
    (tmp_path / "song.txt").write_text(SONG * 40)
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    with limited(resource.RLIMIT_AS, taken + (1 << 30)):
        words = ["train", "language", "song.txt", "--out", "run", *SMALL, "--hidden", 20_000]
        refused(4, "out of memory\n  next:  a smaller --hidden, --batch, --vocabulary, --dimensions or --buckets", *words)


@pytest.mark.parametrize(
    "error",
    [MemoryError("Unable to allocate 2.00 GiB"), torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")],
)
def test_memory_that_runs_out_later_is_a_limit(refused, tmp_path, trained, monkeypatch, error):
    def full(*_):
        raise error

    monkeypatch.setattr(language, "score", full)
    (tmp_path / "a.txt").write_text("x")
    refused(4, "^error: out of memory\n  next:  ", "score", trained, "a.txt")


def test_a_fault_of_our_own_is_not_hidden(say, trained, monkeypatch):
    def wrong(*_):
        raise RuntimeError("a fault")

    monkeypatch.setattr(language, "sample", wrong)
    with pytest.raises(RuntimeError, match="a fault"):
        say("sample", trained)


def test_a_training_that_diverges_for_good_fails(say, tmp_path, monkeypatch):
    (tmp_path / "song.txt").write_text(SONG * 40)
    monkeypatch.setattr(language.Model, "loss", lambda self, logits, batch: logits.sum() * float("nan"))
    said = say("train", "language", "song.txt", "--out", "run", *SMALL)
    assert said.code == 1
    assert re.search(
        r"error: training diverged 6 times, the last at step 1\n  where: run\n  next:  train again with --rate below \S+\n$",
        said.err,
    )
    assert run.load_step(tmp_path / "run", "last").number == 0


def test_verbs_of_a_language_run_refuse_other_runs(say, tmp_path):
    Path("words.txt").write_text("one two three two one\n" * 50)
    assert say("train", "embed", "words.txt", "--out", "words", "--dimensions", 4, "--epochs", 1, "--sample", 0).code == 0
    Path("other.txt").write_text("one two")
    needed = {"sample": "needed is one of language, wavenet", "score": "needed is one of language, translate"}
    for words in (("sample", "words"), ("score", "words", "other.txt")):
        said = say(*words)
        assert said.code == 2
        assert (
            f"`words` is a run of `embed`; {needed[words[0]]}\n  next:  a run of `embed` takes vectors, info, compare" in said.err
        )
    assert "nats_per_pair" in say("info", "words").out


# --- options of many values


def test_an_option_of_many_values_takes_several_after_the_data(monkeypatch):
    taken = []
    monkeypatch.setattr(api, "train", lambda task, data, **settings: taken.append((data, settings.get("dev"))) or Told())
    for words in (
        "a b --dev c d --quiet", "a b --dev c --dev d --quiet", "a --quiet b --dev c d", "--dev=c a b --dev d --quiet",
        "--quiet --dev c --dev d a b", "a b --quiet --dev c d --hidden 8",
    ):  # fmt: skip
        assert cli.run(["train", "translate", *words.split()]) == 0
    assert taken == [(("a", "b"), ("c", "d"))] * 6


class Told:
    folder = "somewhere"
