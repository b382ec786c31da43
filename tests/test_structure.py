"""The house: who imports whom, what the pages claim of it, and what must never stand in it."""

import ast
import importlib.util
import re
import shlex
import sys
import time
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import click
import numpy as np
import pytest

import unrolled
from unrolled import cli, coloured_shapes, fit, formants, plucked, tasks
from unrolled.cells import CELLS
from unrolled.config import build
from unrolled.data import pictures, sound
from unrolled.tasks import caption, classify, embed, language, speech, tag, trigger, video, wavenet

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "unrolled"
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
COURSE = sorted((ROOT / "docs" / "course").glob("*.md"))  # whose scripts test_examples.py runs
FILES = {path.relative_to(PACKAGE).as_posix().removesuffix(".py"): path for path in PACKAGE.rglob("*.py")}


# --- imports


def imports(name: str, source: str) -> set[str]:
    """The modules of the package that a module's source imports, in functions too: {'data/vocab', 'run', …}."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {resolve(alias.name.replace(".", "/").removeprefix("unrolled/")) for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            up = ["unrolled", *name.split("/")][: -node.level] if node.level else []
            base = "/".join([*up, *(node.module or "").split(".")]).strip("/")
            if base.split("/")[0] == "unrolled":
                base = base.removeprefix("unrolled").strip("/")
                found |= {resolve(f"{base}/{alias.name}".strip("/"), base) for alias in node.names}
    return found - {None}


def resolve(*candidates: str) -> str | None:
    """The first candidate that is a module, a folder standing for its __init__."""
    for candidate in candidates:
        for name in (candidate, f"{candidate}/__init__".strip("/")):
            if name in FILES:
                return name
    return None


def all_imports() -> dict[str, set[str]]:
    return {name: imports(name, path.read_text()) for name, path in FILES.items() if name not in ("__init__", "__main__")}


def rows() -> list[tuple[int, str]]:
    """The rows of docs/design.md: [(1, 'errors'), …, (3, 'kernels/*'), …]."""
    block = re.search(r"## Order\n.*?```\n(.*?)```", (ROOT / "docs" / "design.md").read_text(), re.S)[1]
    block = re.sub(r"\(.*?\)", "", block)
    entries = re.findall(r"(\d) (.*?)(?=\s\d |\s*\Z)", block, re.S)
    return [(int(number), name.strip()) for number, names in entries for name in names.split(",")]


def row_of(name: str) -> int:
    if name == "__init__":  # the names load when used, so importing the package itself imports nothing
        return 0
    found = [number for number, pattern in rows() if fnmatch(name, pattern)]
    assert len(found) == 1, f"{name} stands in rows {found} of docs/design.md"
    return found[0]


def test_imports_are_seen_wherever_they_stand():
    source = (
        "import unrolled.fit\nfrom . import vocab\nfrom .. import __version__, run as folders\nfrom ..kernels import choose\n"
        "def f():\n    from ..errors import UserError\n    from unrolled.tasks import language\nimport numpy.random\n"
    )
    wanted = {"fit", "data/vocab", "__init__", "run", "kernels/__init__", "errors", "tasks/language"}
    assert imports("data/text", source) == wanted


def test_every_module_has_a_row_and_every_row_a_module():
    assert {row_of(name) for name in FILES if name not in ("__init__", "__main__")} == set(range(1, 10))
    assert [pattern for _, pattern in rows() if not any(fnmatch(name, pattern) for name in FILES)] == []


def test_a_module_imports_only_from_rows_above_or_its_own():
    wrong = [
        f"{name} imports {other}" for name, others in all_imports().items() for other in others if row_of(other) > row_of(name)
    ]
    assert wrong == []


def test_no_module_imports_itself_by_way_of_others():
    graph = all_imports()
    reached = {name: set(others) for name, others in graph.items()}
    for _ in graph:
        for others in reached.values():
            others |= {further for other in others for further in graph.get(other, ())}
    assert [name for name, others in reached.items() if name in others] == []


def test_a_task_never_imports_another():
    found = {name: {other for other in others if other.startswith("tasks/")} for name, others in all_imports().items()}
    assert {name: others for name, others in found.items() if name.startswith("tasks/") and others - {"tasks/__init__"}} == {}


def others_packages(path: Path) -> set[str]:
    """The top-level packages a file imports that are neither Python's nor ours."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and not node.level}
    packages = {name.split(".")[0] for name in names} - set(sys.stdlib_module_names) - {"unrolled"}
    return {SOLD_AS.get(name, name) for name in packages}


SOLD_AS = {"PIL": "pillow"}  # packages whose module has another name


def test_every_package_imported_is_a_declared_dependency_and_pinned():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [
        line
        for extra in ("gpu", "plot", "cluster", "data", "audio", "pictures", "video", "backbones", "export", "serve")
        for line in project["optional-dependencies"][extra]
    ]
    declared = [*project["dependencies"], *extras]
    declared = {re.match(r"[\w-]+", line)[0] for line in declared}
    assert set().union(*map(others_packages, FILES.values())) == declared
    pinned = {line.split("==")[0].strip() for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line}
    assert declared - pinned == set()


def locked(name: str) -> dict[str, tuple[str, list[str]]]:
    """A lock's packages: version and hashes by name, as constraints.txt spells it."""
    entries = re.split(r"\n(?=\w)", (ROOT / "locks" / name).read_text())[1:]
    found = {}
    for entry in entries:
        package, version = re.match(r"([\w.-]+)==(\S+)", entry).groups()
        found[package] = version, re.findall(r"--hash=sha256:([0-9a-f]{64})(?=\s|$)", entry)
    return found


def test_the_locks_hold_what_constraints_pin_with_hashes_and_name_no_place():
    """`make locks` writes them anew where this fails."""
    rows = [line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line]
    pinned = {re.sub(r"[._-]+", "-", name).lower(): version for name, version in rows}
    some, torch = locked("linux-x86_64.txt"), locked("torch.txt")
    assert {name: version for name, (version, _) in (some | torch).items()} == {name: pinned[name] for name in some | torch}
    assert all(hashes for _, hashes in (some | torch).values())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [line for name, lines in project["optional-dependencies"].items() if name not in ("dev", "bench") for line in lines]
    declared = {re.match(r"[\w-]+", line)[0].lower().replace("_", "-") for line in [*project["dependencies"], *extras]}
    assert declared - {"triton"} <= some.keys() | torch.keys() and torch.keys() == {"torch"}
    text = "".join(path.read_text() for path in (ROOT / "locks").glob("*.txt"))
    assert "://" not in text and "index" not in re.sub(r"#.*", "", text)


@pytest.mark.parametrize(
    ("module", "allowed"),
    [
        ("cli", {"click"}),
        ("config", set()),
        ("errors", set()),
        ("decode", {"numpy"}),
        ("ngram", {"numpy"}),
        ("cells", {"torch"}),
        ("kernels/gpu", {"torch", "triton"}),
        ("kernels/training", {"torch"}),
    ],
)
def test_packages_stay_in_their_room(module, allowed):
    assert others_packages(FILES[module]) == allowed


# --- what must never stand in the package


def suspicious(source: str) -> list[str]:
    """What runs code from data: pickle and its like, eval and exec, torch's and numpy's own loaders, imports by name."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            modules = {alias.name for alias in node.names} | {getattr(node, "module", None) or ""}
            found += {"pickle", "marshal", "shelve", "dill", "joblib", "runpy"} & {m.split(".")[0] for m in modules}
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            found += {"eval", "exec", "compile", "__import__"} & {node.func.id}
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            calls = {"torch.load", "torch.save", "np.load", "np.save", "os.system", "importlib.import_module", "yaml.load"}
            found += calls & {f"{node.value.id}.{node.attr}"}
        if isinstance(node, ast.keyword):
            found += {"trust_remote_code", "allow_pickle"} & {node.arg}
    return found


def test_what_runs_code_from_data_is_seen():
    assert suspicious("from pickle import loads") == ["pickle"]
    assert suspicious("def f(p):\n    return torch.load(p)") == ["torch.load"]
    assert suspicious("eval(text)") == ["eval"]
    assert suspicious("yaml.load(text)") == ["yaml.load"]
    assert suspicious("load(name, trust_remote_code=True)") == ["trust_remote_code"]
    assert suspicious("model.eval()\nfrom safetensors.torch import load\nload(data)") == []


def test_no_file_of_the_package_runs_code_from_data():
    found = {name: suspicious(path.read_text()) for name, path in FILES.items()}
    # these look a name up in a table of their own before they import it
    assert {name: what for name, what in found.items() if what} == {
        "__init__": ["importlib.import_module"],
        "runtime/__init__": ["importlib.import_module"],
        "tasks/__init__": ["importlib.import_module"],
    }


# --- messages


def messages(source: str) -> set[str]:
    """The longest fixed piece of each UserError's first words, without the marks around it."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call) and node.args]
    whats = [node.args[0] for node in calls if isinstance(node.func, ast.Name) and node.func.id == "UserError"]
    pieces = [[p.value for p in ast.walk(what) if isinstance(p, ast.Constant) and isinstance(p.value, str)] for what in whats]
    return {max(texts, key=len).strip(" `;:,()") for texts in pieces if texts}


def test_every_message_to_the_user_is_read_by_a_test():
    written = {text for path in FILES.values() for text in messages(path.read_text())}
    assert len(written) > 50
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py")).replace("\\", "")
    assert {text for text in written if text[:25] not in tests} == set()


# --- the tasks


@pytest.mark.parametrize("task", tasks.TASKS)
def test_a_task_is_a_page_with_the_names_the_registry_lists(task):
    page = tasks.load(task)
    _, every, by_fit, answering, scoring, more, looking, hearing, by_itself = re.split(
        r"^(?:Every|A) page.*:$", tasks.__doc__, flags=re.M
    )
    parts = every, by_fit, answering, looking, by_itself, scoring, hearing
    promised = [re.findall(r"^(\w+)(?:\(.*?\))?  +", part, re.M) for part in parts]
    assert "compared" in more
    assert {"Config", "demo", "read", "Model", "baselines"} <= set(promised[0])
    assert "plan" in promised[1] and "predict" in promised[2] and "VIEW" in promised[3] and "go_on" in promised[4]
    names = promised[0] + (promised[4] if tasks.trains_itself(page) else promised[1])
    names += promised[2] if hasattr(page, "predict") else []
    names += promised[3] if hasattr(page, "look") else []
    names += promised[5] if hasattr(page, "Score") else []
    names += promised[6] if hasattr(page, "Listen") else []
    assert [name for name in names if not hasattr(page, name)] == []


@pytest.mark.parametrize("name", ["CELLS", "GRU", "LSTM", "RNN", "UserError", "load", "train"])
def test_public_names_are_found_in_the_package(name):
    assert name in unrolled.__all__
    assert getattr(unrolled, name).__module__.startswith("unrolled.") if name != "CELLS" else unrolled.CELLS is CELLS


def test_a_name_the_package_lacks_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module `unrolled` has no attribute `lode`"):
        unrolled.lode  # noqa: B018


def test_a_cell_added_to_the_registry_is_known_to_the_task(monkeypatch):
    monkeypatch.setitem(CELLS, "mine", CELLS["gru"])
    assert build(language.Config, {"cell": "mine"}).cell == "mine"


# --- the pages


def fenced(page: Path, language: str = "") -> list[str]:
    """The blocks of a page between fences, those of one language."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(), re.S | re.M)
    return [block for kind, block in blocks if kind == language]


def prose(page: Path) -> str:
    """A page without its blocks between fences."""
    return re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.S | re.M)


def tree() -> dict[str, str]:
    """The README's tree: {'cells.py': what it says of it, 'data/': …, 'data/text.py': …}."""
    (block,) = [block for block in fenced(ROOT / "README.md") if block.startswith("unrolled/\n")]
    found, folder = {}, ""
    for line in block.splitlines()[1:]:
        inner, name, what = re.fullmatch(r"  (  )?(\S+)  +(\S.*)", line).groups()
        folder = (folder if inner else "") if name.endswith(".py") else name
        found[(folder if inner else "") + name] = what
    return found


def test_the_tree_in_the_readme_is_the_one_on_the_disk():
    files = {f"{name}.py" for name in FILES if "/" not in name or not name.endswith("__init__")}
    folders = {f"{name.removesuffix('__init__')}" for name in FILES if name.endswith("/__init__")}
    folders |= {f"{path.name}/" for path in PACKAGE.iterdir() if path.is_dir() and not path.name.startswith("_")}
    assert set(tree()) == files | folders


def command_lines(page: Path) -> list[str]:
    """Every `unrolled …` in a page's fenced blocks and between backticks, pipes and comments taken off."""
    lines = [line.split("  #")[0] for block in fenced(page) for line in block.splitlines()]
    lines += [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose(page))]
    parts = [part.strip() for line in lines for part in re.split(r"[|;] ", line)]
    return [part for part in parts if re.match(r"unrolled [a-z]", part)]


def parse(line: str) -> tuple[click.Command, dict]:
    """The command that a line names and the values it gives; click raises where verb, task or flag does not exist."""
    context = cli.cli.make_context("unrolled", shlex.split(line)[1:])
    while isinstance(context.command, click.Group) and (context._protected_args or context.args):
        name, command, rest = context.command.resolve_command(context, [*context._protected_args, *context.args])
        context = command.make_context(name, rest, parent=context)
    return context.command, context.params


EXAMPLES = sorted({line for page in [*PAGES, *COURSE] for line in command_lines(page)})


def test_the_pages_show_every_verb():
    assert {line.split()[1] for line in EXAMPLES} | {"demo"} == set(cli.VERBS)  # `make demo` runs that one


@pytest.mark.parametrize("line", EXAMPLES)
def test_a_command_line_of_the_pages_parses(line):
    command, values = parse(line)
    pages = {
        "language": language,
        "caption": caption,
        "embed": embed,
        "classify": classify,
        "tag": tag,
        "trigger": trigger,
        "speech": speech,
        "video": video,
        "wavenet": wavenet,
    }
    configs = {name: page.Config for name, page in pages.items()} | {"sample": language.Sample, "score": language.Score}
    settings = configs.get(command.name)
    if settings is not None:  # choices and ranges are checked here, not by click
        build(settings, {name: value for name, value in cli.given(values).items() if name in settings.__dataclass_fields__})


def test_a_wrong_command_line_does_not_parse():
    with pytest.raises(click.NoSuchOption):
        parse("unrolled sample runs/book --temprature 0.8")
    with pytest.raises(unrolled.UserError):
        parse("unrolled trian language book.txt")


def headings(page: Path) -> set[str]:
    """Anchors as GitHub makes them."""
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in re.findall(r"^#+ (.*)$", prose(page), re.M)}


@pytest.mark.parametrize("page", [*PAGES, *COURSE], ids=lambda page: page.name)
def test_links_of_a_page_lead_somewhere(page):
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()) if "://" not in link]
    lost = []
    for link in links:
        path, _, anchor = link.partition("#")
        target = page if not path else page.parent / path
        if not target.exists() or (anchor and anchor not in headings(target)):
            lost.append(link)
    assert lost == []


def test_make_has_every_target_the_pages_name():
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.M))
    named = {word for page in [*PAGES, *COURSE] for word in re.findall(r"(?:^|`)make (\w+)", page.read_text(), re.M)}
    assert {"demo", "test"} <= named <= targets


def test_files_that_contributing_names_exist():
    named = re.findall(r"^\|.*\| `([^`]+\.py)`", (ROOT / "CONTRIBUTING.md").read_text(), re.M)
    assert len(named) > 5
    assert [name for name in named if not (PACKAGE / name).exists()] == []


@pytest.fixture
def book(tmp_path, monkeypatch):
    """A folder with the texts that the pages name, where ten minutes are over after one pass through a small one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli, "BEGAN", time.monotonic())
    monkeypatch.setattr(language, "PASSES", 1)
    monkeypatch.setattr(language, "_steps_of_256", lambda config, data: 10)
    monkeypatch.setattr(fit, "seconds_per_step", lambda *_, **__: 0.01)
    for name in ("book", "other", "more"):
        Path(f"{name}.txt").write_text("the cat sat on the mat.\n" * 900)
    Path("corpus.txt").write_text("the man and the king of paris\nthe woman and the queen of rome\n" * 200)
    said = {"1": "cold and rude", "5": "lovely and warm"}
    for name in ("reviews", "test"):
        rows = (f"the soup {i} was {said[star]},{star}\n" for i in range(40) for star in said)
        Path(f"{name}.csv").write_text("review,stars\n" + "".join(rows))
    for name in ("train", "dev"):
        Path(f"{name}.conll").write_text("He\tO\nsaid\tO\nTeddy\tB-person\nsings\tO\n\nTeddy\tO\nbears\tO\n\n" * 40)
    for name in ("train", "val", "test"):
        Path(f"{name}.en").write_text("".join(f"the {i} cats sleep\n" for i in range(60)))
        Path(f"{name}.de").write_text("".join(f"die {i} Katzen schlafen\n" for i in range(60)))
    monkeypatch.setattr(trigger, "MOST_STEPS", 10)
    monkeypatch.setattr(speech, "PASSES", 12)
    monkeypatch.setattr(wavenet, "MOST_STEPS", 10)
    monkeypatch.setattr(caption, "PASSES", 10)
    Path("photos").mkdir()
    drawn = [coloured_shapes.draw(np.random.default_rng(i)) for i in range(12)]
    for i, one in enumerate(drawn):
        Path("photos", f"{i}.png").write_bytes(pictures.png(one.pixels))
    Path("picture.jpg").write_bytes(pictures.png(drawn[0].pixels))  # the content says what it is
    Path("captions.tsv").write_text("picture\tcaption\n" + "".join(f"{i}.png\t{one.caption}\n" for i, one in enumerate(drawn)))
    monkeypatch.setattr(video, "PASSES", 10)
    plucked.write_sounds(Path("sounds"), 1)
    Path("clips").mkdir()
    for i in range(16):
        shown = np.concatenate([np.full((16, 16, 3), level, np.uint8) for level in range(0, 250, 60)][:: 1 - 2 * (i % 2)], 1)
        Path("clips", f"{i}.png").write_bytes(pictures.png(shown))
    Path("labels.tsv").write_text("clip\taction\n" + "".join(f"{i}.png\t{'up' if i % 2 else 'down'}\n" for i in range(16)))
    generator = np.random.default_rng(1)
    for name, words in (("alexa", ["kamito"] * 5), ("other", ["sulo", "rahi"])):
        Path("clips", name).mkdir(parents=True)
        for i, word in enumerate(words):
            clip = formants.say(word, formants.voice(generator), generator)
            sound.write(Path("clips", name, f"{i}.wav"), clip, formants.RATE)
    sound.write(Path("hello.wav"), clip, formants.RATE)
    rows = [f"clips/{name}/{i}.wav\t{name}\n" for name, number in (("alexa", 5), ("other", 2)) for i in range(number)]
    Path("clips.tsv").write_text("".join(rows))
    sound.write(Path("room.wav"), np.zeros(3 * formants.RATE, np.float32), formants.RATE)
    Path("questions-words.txt").write_text(": family\nman king woman queen\n")
    Path("wordsim353.tsv").write_text("man\tking\t6\nking\tqueen\t8\nrome\tparis\t7\nof\tthe\t1\n")


def test_the_commands_of_the_readme_run_in_its_order(book, capsys):
    blocks = [block for block in fenced(ROOT / "README.md") if block.startswith("unrolled train")]
    assert len(blocks) == 10
    for line in "".join(blocks).splitlines():
        code = cli.run(shlex.split(line)[1:])
        error = capsys.readouterr().err
        if "--resume" in line:  # the training before it was not interrupted
            assert code == 2
            assert "is finished" in error
        else:
            assert (line, code) == (line, 0)


@pytest.mark.parametrize("page", [page for page in PAGES if fenced(page, "python")], ids=lambda page: page.name)
def test_python_in_a_page_runs(page, book, monkeypatch):
    monkeypatch.setitem(CELLS, "minimal", None)  # a page adds it; it is gone after the test
    space = {}
    for block in fenced(page, "python"):
        exec(block, space)
    assert "unrolled" in space


def test_the_tables_of_the_performance_page_are_those_of_the_results():
    place = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    generate = importlib.util.module_from_spec(place)
    place.loader.exec_module(generate)
    for name, tables in (
        ("performance.md", 7),
        ("embed.md", 7),
        ("classify.md", 2),
        ("tag.md", 3),
        ("translate.md", 3),
        ("speech.md", 3),
        ("trigger.md", 4),
        ("wavenet.md", 1),
        ("video.md", 1),
    ):
        page = (ROOT / "docs" / name).read_text()
        assert generate.with_tables(page) == page and len(re.findall(r"^`python -m bench .*commit", page, re.M)) == tables
    for page in COURSE:
        assert generate.with_script(page.read_text()) == page.read_text()
    assert generate.command_line() == (ROOT / "docs" / "command-line.md").read_text()
