"""The course: a page and a script for each topic of the lecture; what a page shows is what its script makes."""

import os
import re
import resource
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parent.parent
COURSE, EXAMPLES = ROOT / "docs" / "course", ROOT / "examples"
PAGES = sorted(COURSE.glob("[0-9]*.md"))
TOPICS = [re.sub(r"^\d+-", "", page.stem) for page in PAGES]
LINES, BYTES = 15, 60_000  # of a script, of a picture


class Number(NamedTuple):
    """What a script prints, found by a pattern with one group, and between what it must lie."""

    pattern: str
    least: float
    most: float


NUMBERS = {
    "basic-rnn": [Number(r"largest difference from the layer: (\S+)", 0, 2e-7)],
    "unrolled-graph": [Number(r"net: .* (\S+) bits_per_character", 0, 4)],
    "five-types": [],
    "language-modelling": [Number(r"book: .* (\S+) bits_per_character", 0.25, 0.4)],
    "gradients": [Number(r"times (\S+) a step", 0.6, 0.65), Number(r"by theory (\S+)", 0.6, 0.65)],
    "gru": [Number(r"z = 0.007 at rest: after the pulse each step keeps (\S+)", 0.99, 0.995)],
    "lstm": [Number(r"rnn: (\S+) %", 10, 40), Number(r"gru: (\S+) %", 95, 100), Number(r"lstm: (\S+) %", 95, 100)],
    "future": [Number(r"forward: .* (\S+) span_f1", 0.4, 0.75)],
    "bidirectional": [Number(r"both: .* (\S+) span_f1", 0.95, 1)],
    "deep": [Number(r"1-layers: .* (\S+) bits_per_character", 1, 2), Number(r"3-layers: .* (\S+) bits_per_character", 0.5, 1.2)],
    "one-hot": [Number(r"king and queen: (\S+);", 0, 0), Number(r"a row of E: (\S+)", 0, 0)],
    "word2vec": [Number(r"tea and milk: (\S+);", 0.95, 1), Number(r"tea and books: (\S+)", 0, 0.7)],
    "arithmetic": [Number(r"man is to woman as king is to queen \((\S+)\)", 0.7, 1)],
    "t-sne": [Number(r"trustworthiness (\S+),", 0.8, 1), Number(r"overlap (\S+)", 0.3, 1)],
    "glove": [Number(r"True .*False (\S+)'", 0.5, 1)],
    "sentiment": [Number(r"stars: (\S+) accuracy", 0.38, 1)],
    "translation": [Number(r"french: (\S+) bleu", 80, 100)],
    "captioning": [Number(r"captions: (\S+) CIDEr-D", 0.3, 10)],
    "attention": [Number(r"looking: (\S+) bleu", 30, 100)],
    "video": [Number(r"moves: (\S+) % right", 50, 100)],
    "speech": [Number(r"heard: .* (\S+) word_error_rate", 0, 0.25)],
    "trigger": [Number(r"trigger: (\S+) % missed", 0, 60)],
    "wavenet": [Number(r"strings: (\S+) nats_per_sample", 3, 4.2)],
}


def script(topic: str) -> Path:
    (found,) = EXAMPLES.glob(f"{topic}.*")
    return found


def fenced(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.S | re.M)


def test_every_script_has_its_page_and_every_page_its_numbers():
    assert [page.stem for page in PAGES] == [f"{number:02}-{topic}" for number, topic in enumerate(TOPICS, 1)]
    assert sorted(TOPICS) == sorted(path.stem for path in EXAMPLES.iterdir()) == sorted(NUMBERS)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_shows_its_script_and_ends_in_something_to_try(page):
    topic = page.stem[3:]
    text, own = page.read_text(), script(topic)
    assert fenced(page, {".py": "python", ".sh": "sh"}[own.suffix]) == [own.read_text()]
    assert len(own.read_text().splitlines()) <= LINES
    heads = [text.index(head) for head in ("\n    ", "\n```", "\n**See**", "\n**Try**", "\n**Code**")]  # the equation first
    assert heads == sorted(heads)
    named = re.findall(r"`(unrolled/[\w/]+\.py)`", text[heads[-1] :])
    assert named and [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_pictures_of_a_page_are_small_and_its_script_makes_them(page):
    topic, shown = page.stem[3:], re.findall(r"!\[[^\]]+\]\(([^)]+)\)", page.read_text())
    assert shown
    for name in shown:
        assert name.startswith(topic) and (COURSE / name).stat().st_size < BYTES
        assert ElementTree.parse(COURSE / name).getroot().tag.endswith("svg")


def test_the_course_names_every_page_in_its_order():
    assert re.findall(r"\]\((\d[^)]+)\)", (COURSE / "README.md").read_text()) == [page.name for page in PAGES]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_leads_to_the_next_one(page):
    after = [*PAGES[PAGES.index(page) + 1 :], COURSE / "README.md"][0]
    assert page.read_text().rstrip().splitlines()[-1].endswith(f"]({after.name})")


# --- the scripts run


class Made(NamedTuple):
    """What a script has printed, the folder that it ran in, how long it took."""

    done: subprocess.CompletedProcess
    folder: Path
    seconds: float


def made(topic: str, folder: Path) -> Made:
    own, bin = script(topic), Path(sys.executable).parent
    clean = {"PATH": f"{bin}:/usr/local/bin:/usr/bin:/bin", "HOME": str(folder), "PYTHONPATH": str(ROOT), "LANG": "C.UTF-8"}
    clean |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    command, began = [sys.executable if own.suffix == ".py" else "bash", str(own)], time.monotonic()
    done = subprocess.run(command, cwd=folder, env=clean, capture_output=True, text=True, timeout=300)
    return Made(done, folder, time.monotonic() - began)


@pytest.fixture(scope="module")
def all_made(request, tmp_path_factory):
    """The scripts of the tests that are run, one a core at a time."""
    chosen = [
        item.callspec.params["topic"]
        for item in request.session.items
        if "all_made" in item.fixturenames and hasattr(item, "callspec")
    ]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = list(pool.map(lambda topic: made(topic, tmp_path_factory.mktemp(topic)), chosen))
    return dict(zip(chosen, found, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("topic", TOPICS)
def test_a_script_runs_in_an_empty_folder(topic, all_made):
    done, folder, _ = all_made[topic]
    assert done.returncode == 0, done.stderr
    (page,) = COURSE.glob(f"*-{topic}.md")
    for name in re.findall(r"!\[[^\]]+\]\(([^)]+)\)", page.read_text()):
        assert ElementTree.parse(folder / name).getroot().tag.endswith("svg")
    told = done.stdout + done.stderr
    for number in NUMBERS[topic]:
        found = re.findall(number.pattern, told)
        assert found, f"{number.pattern} is not in\n{told}"
        assert number.least <= float(found[-1]) <= number.most, (number, found)


@pytest.mark.slow
def test_all_scripts_together_take_less_than_five_minutes_of_two_cores(all_made):
    spent = sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])  # of the processor, user's and system's
    for topic, each in all_made.items():
        print(f"{each.seconds:6.1f} s  {topic}")
    print(f"{spent:6.1f} s  of the processor, {len(all_made)} scripts")
    assert spent < 600
