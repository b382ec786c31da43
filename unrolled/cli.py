"""The command line: verbs, flags made from a task's dataclasses, messages and exit codes. No logic of its own.

`unrolled --help` imports click alone; everything heavier is imported inside the verb that needs it.
"""

from __future__ import annotations

import contextlib
import gc
import itertools
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from . import tables
from .errors import BAD_INPUT, INTERRUPTED, LIMIT, UserError, did_you_mean, of_system
from .tasks import TASKS

BEGAN = time.monotonic()  # `--minutes` counts from here


def main() -> None:
    """Run the command line; a mistake becomes one message and an exit code, never a traceback."""
    gc.set_threshold(100_000)  # torch brings half a million objects that stay: to search them again and again takes a tenth
    code = run(sys.argv[1:])
    gc.freeze()  # nor are they searched at the end
    sys.exit(code)


class ReaderLeft(Exception):
    """Whoever read the results through a pipe has had enough; click would take it for a failure."""


def run(arguments: list[str]) -> int:
    # torch's threads wait for each other by spinning; where another program wants a core too, that costs three to ten times
    # the time, and sleeping a fifth more where none does
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="surrogateescape")  # bytes of a prompt that are not UTF-8 go out as they came
    try:
        cli.main(arguments, prog_name="unrolled", standalone_mode=False)
        return 0
    except UserError as error:
        return _fail(str(error), error.code)
    except click.exceptions.NoArgsIsHelpError as error:
        return _show(error.format_message())
    except click.UsageError as error:
        return _fail(_usage(error), 2)
    except (click.Abort, KeyboardInterrupt):
        return _fail("interrupted", INTERRUPTED)
    except ReaderLeft:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that the flush at exit finds no broken pipe
        return 0
    except OSError as error:
        doing = ("working with", error.filename) if error.filename else ("writing", "the results")
        problem = of_system(error, doing[0], str(doing[1]))
        return _fail(str(problem), problem.code)
    except (MemoryError, RuntimeError) as error:  # torch says it in a RuntimeError
        if not isinstance(error, MemoryError) and "allocate memory" not in str(error) and "out of memory" not in str(error):
            raise
        return _fail("out of memory\n  next:  a smaller --hidden, --batch, --vocabulary, --dimensions or --buckets", LIMIT)


def _show(help: str) -> int:
    print(help, file=sys.stderr)
    return 2


def _fail(message: str, code: int) -> int:
    print(f"error: {message}", file=sys.stderr)
    return code


def _usage(error: click.UsageError) -> str:
    command = error.ctx.command_path if error.ctx else "unrolled"
    if isinstance(error, click.NoSuchOption) and error.option_name == "--resume":
        return "`--resume` goes on with a run as it was started\n  next:  unrolled train --resume RUN"
    if isinstance(error, click.NoSuchOption):
        known = [name for parameter in error.ctx.command.get_params(error.ctx) for name in parameter.opts] if error.ctx else []
        hint = did_you_mean(error.option_name, known) or f"`{command} --help` lists them"
        return f"`{error.option_name}` is not an option of `{command}`\n  next:  {hint}"
    return f"{error.format_message()}\n  next:  `{command} --help` shows how"


# --- from settings to flags


def flags(config: type, without: tuple[str, ...] = ()) -> list[click.Parameter]:
    """One flag a setting; a flag not given stays out of the values."""
    from .config import options

    return [_flag(o) for o in options(config) if o.typed and o.name not in without]


def _default(o: Any) -> str:
    return "" if o.default in (None, (), "") else f"  [{str(o.default).lower() if o.type is bool else o.default}]"


def _flag(o: Any) -> click.Option:
    names = [o.name, o.flag]
    default = _default(o)
    if o.type is bool:
        return click.Option([o.name, f"{o.flag}/--no-{o.flag[2:]}"], default=None, help=o.help + default)
    kind = {int: click.INT, float: click.FLOAT, str: click.STRING}[o.type]
    metavar = "|".join(o.choices) if o.choices else None
    return click.Option(names, type=kind, default=None, multiple=o.many, metavar=metavar, help=o.help + default)


def given(values: dict[str, Any]) -> dict[str, Any]:
    """What the user typed, of all the flags there are."""
    return {name: value for name, value in values.items() if value is not None and value != ()}


# --- verbs


class Lazy(click.Group):
    """A group that lists its commands from a table and makes one only when it is called."""

    def __init__(self, table: dict[str, tuple[str, Callable[[], click.Command]]], kind: str, **rest: Any):
        super().__init__(**rest)
        self.table, self.kind = table, kind

    def list_commands(self, context: click.Context) -> list[str]:
        return list(self.table)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        return self.table[name][1]() if name in self.table else None

    def resolve_command(self, context: click.Context, arguments: list[str]) -> Any:
        if arguments[0] not in self.table and not arguments[0].startswith("-"):
            fix = did_you_mean(arguments[0], self.table) or f"`{context.command_path} --help` lists them"
            raise UserError(f"`{arguments[0]}` is not a {self.kind}; known are {', '.join(self.table)}", fix=fix)
        return super().resolve_command(context, arguments)

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except BrokenPipeError:
            raise ReaderLeft from None

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section(self.kind.capitalize() + "s"):
            formatter.write_dl([(name, help) for name, (help, _) in self.table.items()])


def train() -> click.Command:
    def go(context: click.Context, resume: str | None) -> None:
        if resume is None and context.invoked_subcommand is None:
            raise UserError(f"`unrolled train` needs a task ({', '.join(TASKS)}) and data, or --resume RUN")
        if resume is not None:
            if context.invoked_subcommand is not None:
                raise UserError("`--resume` goes on with a run as it was started", fix=f"unrolled train --resume {resume}")
            from . import api

            _finished(api.resume(resume))

    table = {name: (help, lambda name=name: train_task(name)) for name, help in TASKS.items()}
    resume = click.Option(["--resume"], metavar="RUN", help="go on with a run exactly where it stopped")
    return Lazy(
        table, "task", name="train", params=[resume], callback=click.pass_context(go), invoke_without_command=True,
        subcommand_metavar="TASK DATA… [OPTIONS]", help="Train a model on your data; `train TASK --help` lists settings.",
    )  # fmt: skip


def _finished(run: Any) -> None:
    if os.environ.get("RANK", "0") == "0":  # torchrun starts this once a process
        click.echo(run.folder)


CHOSEN = "A setting without a default is chosen from the data, the machine's speed and the time there is."


def train_task(name: str) -> click.Command:
    from . import tasks

    page = tasks.load(name)

    def go(data: tuple[str, ...], out: str | None, start_from: str | None, quiet: bool, **values: Any) -> None:
        from . import api

        run = api.train(name, data, out=out, start_from=start_from, quiet=quiet, began=BEGAN, **given(values))
        _finished(run)

    params = [
        click.Argument(["data"], nargs=-1, required=getattr(page, "NEEDS_DATA", True), metavar="DATA…"),
        click.Option(["--out"], metavar="RUN", help=f"the run folder  [runs/{name}]"),
        click.Option(["start_from", "--from"], metavar="RUN", help="start from this run's weights; new symbols extend its codec"),
        click.Option(["--quiet"], is_flag=True, help="say nothing but the run's folder"),
        *flags(page.Config, without=("data", "steps") if tasks.trains_itself(page) else ("data",)),
    ]
    return Spread(name, callback=go, params=params, help=page.__doc__.split("\n\n")[0], epilog=CHOSEN)


class Spread(click.Command):
    """A command whose options of many values take several at once, after the arguments: `data.en data.de --dev a.en a.de`."""

    def parse_args(self, context: click.Context, arguments: list[str]) -> list[str]:
        known = {name: option for option in self.params if isinstance(option, click.Option) for name in option.opts}
        spread, open_option, arguments_seen, value_next = [], None, False, False
        for argument in arguments:
            option = known.get(argument)
            if argument.startswith("--"):
                value_next = option is not None and not option.is_flag
                open_option = argument if option is not None and option.multiple and arguments_seen else None
            elif value_next:
                value_next = False
            elif open_option is not None:
                spread.append(open_option)
            else:
                arguments_seen = True
            spread.append(argument)
        return super().parse_args(context, spread)


class OfRun(click.Command):
    """A verb with the flags of its run's task; of all tasks, where the arguments name no run or that one has not the flag.

    kind  the dataclass of a page that the flags are made from; they stand before the last of the params
    """

    def __init__(self, name: str, kind: str, **rest: Any):
        super().__init__(name, **rest)
        self.kind = kind

    def get_params(self, context: click.Context) -> list[click.Parameter]:
        if "flags" not in context.meta:
            context.meta["flags"] = _flags_of(_pages_with(self.kind), self.kind)
        *before, last, help = super().get_params(context)
        return [*before, *context.meta["flags"], last, help]

    def parse_args(self, context: click.Context, arguments: list[str]) -> list[str]:
        named = _page_named(arguments)
        if named:
            with contextlib.suppress(click.NoSuchOption):
                return self._parsed(context, list(arguments), named)
        return self._parsed(context, arguments, _pages_with(self.kind))

    def _parsed(self, context: click.Context, arguments: list[str], pages: dict[str, Any]) -> list[str]:
        context.meta["flags"] = _flags_of(pages, self.kind)
        left = super().parse_args(context, arguments)
        _check(pages, self.kind, given(context.params))
        return left


def _page_named(arguments: list[str]) -> dict[str, Any]:
    """The page of the first run that is named, so that no other need be imported."""
    from . import tasks

    for folder in arguments:
        if os.path.isfile(os.path.join(folder, "config.json")):
            from .run import read_config

            task = read_config(Path(folder))["task"]
            return {task: tasks.load(task)}
    return {}


def sample() -> click.Command:
    def go(run: str, as_json: bool, **values: Any) -> None:
        from . import api

        model = _able(api.load(run), "Sample")
        options = _options_of(model, "Sample", given(values))
        (_make if hasattr(model.task, "compose") else _write)(model, options, as_json)

    params = [_run_argument(), _json_flag()]
    help = "Let a run make something new: of a language, text, as a stream; of a wavenet, sound."
    return OfRun("sample", "Sample", callback=go, params=params, help=help)


def _write(model: Any, options: Any, as_json: bool) -> None:
    _warn_unseen(model, options.prompt)
    if options.number == 1 and not as_json:
        _stream(model.task.sample(model, options), options.prompt)
        return
    began = time.monotonic()
    texts = model.task.samples(model, options)
    seconds = time.monotonic() - began
    if as_json:
        for text in texts:
            click.echo(_line({"text": options.prompt + text, "seconds": seconds}))
    else:
        between = "\n---\n" if any("\n" in text for text in texts) else "\n"
        click.echo(between.join(options.prompt + text for text in texts))


def _make(model: Any, options: Any, as_json: bool) -> None:
    from .progress import Progress

    made = model.task.compose(model, options, Progress(as_json))
    for each in made:
        click.echo(_line(_plain(each)) if as_json else each.path)
    if not as_json:
        _note(f"{made[0].seconds:g} s each, {made[0].times_real_time:.2f} times real time")


def _task_of(run: Any) -> str:
    return run.task.__name__.rpartition(".")[2]


def _of_task(tasks: tuple[str, ...], run: Any) -> Any:
    theirs = _task_of(run)
    if theirs not in tasks:
        needed = f"a run of `{tasks[0]}` is needed" if len(tasks) == 1 else f"needed is one of {', '.join(tasks)}"
        verbs = (verb for verb, name in ANSWERING.items() if hasattr(run.task, name))
        more = ("vectors",) if theirs == "embed" else ()
        fix = f"a run of `{theirs}` takes {', '.join((*verbs, *more, 'info', 'compare'))}"
        raise UserError(f"`{run.folder}` is a run of `{theirs}`; {needed}", fix=fix)
    return run


def _able(run: Any, name: str) -> Any:
    """The run, whose page must have what a verb needs."""
    return run if hasattr(run.task, name) else _of_task(tuple(_pages_with(name)), run)


# The verbs that not every run takes, and what the page of one that does has.
ANSWERING = {
    "predict": "Predict", "evaluate": "Evaluate", "sample": "Sample", "score": "Score", "look": "look", "listen": "Listen",
}  # fmt: skip


def _stream(pieces: Iterator[str], prompt: str) -> None:
    sys.stdout.write(prompt)
    shown = 0.0
    for piece in pieces:
        sys.stdout.write(piece)
        if time.monotonic() - shown > 0.02:  # often enough for the eye
            sys.stdout.flush()
            shown = time.monotonic()
    sys.stdout.write("\n")
    sys.stdout.flush()


def _warn_unseen(run: Any, text: str) -> None:
    unknown = run.task.unseen(run.codec, text)
    if unknown:
        shown = " ".join(f"`{symbol}`" for symbol in unknown[:10])
        click.echo(f"note: {shown} never seen in training; read as `unknown`", err=True)


def score() -> click.Command:
    def go(run: str, file: tuple[str, ...], as_json: bool, **values: Any) -> None:
        from . import api

        model = _able(api.load(run), "Score")
        options = _options_of(model, "Score", given(values))
        with tempfile.TemporaryDirectory() as spool:
            to_score = model.task.read_to_score(model, list(file), Path(spool))
        began = time.monotonic()
        scored = model.task.score(model, *to_score, options)
        summary = scored.measures | {"protocol": scored.protocol, "seconds": time.monotonic() - began}
        if as_json:
            for text, nats in zip(scored.texts, scored.nats, strict=True):
                click.echo(_line({"text": text, "nats": float(nats)}))
            click.echo(_line(summary))
        else:
            _table([(name, tables.number(value)) for name, value in summary.items()])

    params = [
        _run_argument(),
        click.Argument(["file"], nargs=-1, required=True, metavar="FILE…"),
        _json_flag("print the surprise of every symbol (of a translator: of every pair), then the measures"),
    ]
    help = "How surprised a run is by a text, or a translator by others' translations: nats, bits per character, perplexity."
    return OfRun("score", "Score", callback=go, params=params, help=help)


AT_ONCE = 256  # texts answered together


def predict() -> click.Command:
    def go(run: str, input: tuple[str, ...], as_json: bool, **values: Any) -> None:
        from . import api

        model = _able(api.load(run), "Predict")
        options = _options_of(model, "Predict", given(values))
        model = _with_others(model, options)
        coloured = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        with tempfile.TemporaryDirectory() as spool:
            failed: list[UserError] = []
            items = _opened(model, _items(model, input, options, Path(spool)), failed)
            ahead = list(itertools.islice(items, 2))
            several, items = len(ahead) + len(failed) > 1, itertools.chain(ahead, items)
            while some := list(itertools.islice(items, getattr(model.task, "AT_ONCE", AT_ONCE))):
                for (where, _), answer in zip(some, _answered(model, some, options, failed), strict=False):
                    if as_json:
                        click.echo(_line({"where": where} | _plain(answer)))
                    else:
                        shown = model.task.shown(answer, coloured)
                        click.echo(_of_file(where, shown) if several and _takes_files(model) else shown)
        for error in failed[:-1]:
            _fail(str(error), error.code)
        if failed:
            raise failed[-1]

    params = [
        _run_argument(),
        click.Argument(["input"], nargs=-1, required=True, metavar="TEXT|@FILE|-…"),
        _json_flag(),
    ]
    help = "Answer texts: as they stand, from files (@reviews.csv), or from standard input (-), a line each."
    return OfRun("predict", "Predict", callback=go, params=params, help=help)


def _items(run: Any, inputs: tuple[str, ...], options: Any, spool: Path) -> Iterator[tuple[str | None, Any]]:
    """What is to be answered, each after its place; what is typed in has none."""
    for text in inputs:
        if text == "-" or text.startswith("@") or (_takes_files(run) and os.path.isdir(text) and run.task.TAKES != "clip"):
            found = run.task.items(run, text.removeprefix("@"), options, spool)
            yield from ((where.removeprefix(f"{spool}{os.sep}"), item) for where, item in found)
        else:
            if os.path.exists(text) and not _takes_files(run):
                _note(f"`{text}` is answered as a text; `@{text}` reads the file")
            yield text if _takes_files(run) else None, run.task.item(run, text)


def _with_others(run: Any, options: Any) -> Any:
    """The run with the other ones that its options name."""
    from . import api

    task, names = run.task.others(options) if hasattr(run.task, "others") else ("", ())
    return run.task.together(run, [_of_task((task,), api.load(name)) for name in names]) if names else run


def _answered(run: Any, some: list[tuple[str | None, Any]], options: Any, failed: list[UserError]) -> list[Any]:
    """The answers of items; one that is alone and cannot be read has none."""
    try:
        return run.task.predict(run, [item for _, item in some], options)
    except UserError as error:
        if getattr(run.task, "AT_ONCE", AT_ONCE) > 1 or error.code != BAD_INPUT:
            raise
        failed.append(error)
        return []


def _takes_files(run: Any) -> bool:
    return getattr(run.task, "TAKES", "text") != "text"


def _opened(run: Any, items: Iterator[tuple[str | None, Any]], failed: list[UserError]) -> Iterator[tuple[str | None, Any]]:
    """Items as the page's `predict` takes them; a file that cannot be read is left out, so that the others are answered."""
    for where, item in items:
        try:
            yield where, run.task.opened(run, item) if hasattr(run.task, "opened") else item
        except UserError as error:
            if error.code != BAD_INPUT:
                raise
            failed.append(error)


def _of_file(where: str | None, shown: str) -> str:
    """An answer with its file before each line."""
    return "\n".join(f"{where}\t{line}" for line in shown.splitlines() or [""])


def _flags_of(pages: dict[str, Any], kind: str) -> list[click.Option]:
    """One flag for each option that a page's dataclass of this name has; where it means different things, with all of them."""
    meanings: dict[str, dict[str, Any]] = {}
    for task, page in pages.items():
        for name, o in _options_in(page, kind).items():
            meanings.setdefault(name, {})[task] = o
    return [_flag(_of_several(theirs)) for theirs in meanings.values()]


def _options_in(page: Any, kind: str) -> dict[str, Any]:
    """The options of a page's dataclass of this name, if it has one."""
    from .config import options

    return {o.name: o for o in options(getattr(page, kind))} if hasattr(page, kind) else {}


def _of_several(theirs: dict[str, Any]) -> Any:
    """One option that several tasks have, each with a help of its own."""
    first, *rest = theirs.values()
    if all((o.help, o.default) == (first.help, first.default) for o in rest):
        return first
    return first._replace(default=None, help="; ".join(f"{task}: {o.help}{_default(o)}" for task, o in theirs.items()))


def _check(pages: dict[str, Any], kind: str, values: dict[str, Any]) -> None:
    """What no task takes is told before a run is read."""
    from .config import build

    for name, value in values.items():
        refused = []
        having = [page for page in pages.values() if name in _options_in(page, kind)]
        for page in having:
            try:
                build(getattr(page, kind), {name: value})
            except UserError as error:
                refused.append(error)
        if refused and len(refused) == len(having):
            raise refused[0]


def _options_of(run: Any, kind: str, values: dict[str, Any]) -> Any:
    """The options of the run's task, None where it has none; a flag that is another task's is a UserError."""
    from .config import build

    task, theirs = _task_of(run), _options_in(run.task, kind)
    for name in values:
        if name not in theirs:
            having = {owner: _options_in(page, kind) for owner, page in _pages_with(kind).items()}
            owner, flag = next((owner, known[name].flag) for owner, known in having.items() if name in known)
            raise UserError(f"`{flag}` is for runs of `{owner}`; `{run.folder}` is a run of `{task}`", fix=f"leave `{flag}` out")
    return build(getattr(run.task, kind), values) if theirs else None


def evaluate() -> click.Command:
    def go(run: str, data: tuple[str, ...], as_json: bool, **values: Any) -> None:
        from . import api

        model = _able(api.load(run), "Evaluate")
        options = _options_of(model, "Evaluate", given(values))
        if not data and getattr(model.task, "NEEDS_DATA", True):
            raise UserError("there is no data to evaluate on", fix=f"unrolled evaluate {run} DATA…")
        model = _with_others(model, options)
        with tempfile.TemporaryDirectory() as spool:
            found = model.task.examine(model, model.task.part(model, list(data), Path(spool), options))
        if as_json:
            click.echo(_line(found))
            return
        _sections({title: rows for title, rows in found.items() if rows})

    data = click.Argument(["data"], nargs=-1, metavar="DATA…")
    params = [_run_argument(), data, _json_flag()]
    help = "How well a run does on other data: measures with 95 % intervals, each label's, and what is taken for what."
    return OfRun("evaluate", "Evaluate", callback=go, params=params, help=help)


def listen() -> click.Command:
    def go(run: str, sound: str, as_json: bool, **values: Any) -> None:
        from . import api

        model = _able(api.load(run), "Listen")
        options = _options_of(model, "Listen", given(values))
        model = _with_others(model, options)
        for event in model.task.listen(model, sound, options):
            told = getattr(model.task, "told", lambda event: "  ".join(str(tables.number(value)) for value in event.values()))
            click.echo(_line(event) if as_json else told(event))
            sys.stdout.flush()

    params = [
        _run_argument(),
        click.Argument(["sound"], metavar="FILE|-|mic"),
        _json_flag(),
    ]
    help = "Listen for a run's word: in a file, in raw sound through standard input (-), at the microphone (mic)."
    return OfRun("listen", "Listen", callback=go, params=params, help=help)


def record() -> click.Command:
    def go(folder: str, takes: int | None, hertz: int, raw: bool) -> None:
        from . import recorder
        from .data import sound
        from .progress import Progress

        heard = sound.pcm(sys.stdin.buffer, hertz, hertz) if raw else _until_interrupted(sound.microphone(hertz))
        click.echo(len(recorder.record(Path(folder), heard, hertz, takes, Progress(False))))

    params = [
        click.Argument(["folder"]),
        click.Option(["--takes"], type=click.IntRange(min=1), help="stop after so many  [at Ctrl-C, or where the sound ends]"),
        click.Option(["--hertz"], type=int, default=16_000, help="samples a second  [16000]"),
        click.Option(["--raw"], is_flag=True, help="read raw sound of 16 bits from standard input, not the microphone"),
    ]
    help = "Record takes of a word one after another, cut to the word, each checked for its level."
    return click.Command("record", callback=go, params=params, help=help)


def _until_interrupted(blocks: Iterator[Any]) -> Iterator[Any]:
    """Ctrl-C is how a recording ends."""
    try:
        yield from blocks
    except KeyboardInterrupt:
        return


def look() -> click.Command:
    def go(run: str, input: str, out: str | None, as_json: bool, **values: Any) -> None:
        from . import api
        from .run import write_bytes

        model = _able(api.load(run), "look")
        options = _options_of(model, "Look", given(values))
        view, path = model.task.VIEW, Path(out) if out else model.folder / "look.html"
        if path.suffix.lower() not in view.ENDINGS:
            said = f"`--out {path}` does not say what to write; of this run it may end in {' or '.join(view.ENDINGS)}"
            raise UserError(said, fix="--out look.html")
        found = model.task.look(model, _text_of(model, input), *(() if options is None else (options,)))
        write_bytes(path, view.ENDINGS[path.suffix.lower()](found))
        _records(view.whole(found) if as_json else view.table(found), as_json)
        if hasattr(view, "remark"):
            _note(view.remark(found))
        _note(f"see {path}")

    params = [
        _run_argument(),
        click.Argument(["input"], metavar="TEXT|@FILE|SOUND|PICTURE|CLIP"),
        click.Option(["--out"], metavar="FILE", help="a .html; of most also .png or .svg  [look.html in the run's folder]"),
        _json_flag(),
    ]
    help = (
        "Look inside: what a language model's units follow, what a tagger believes of each word as the sentence goes on, which "
        "words moved a label or a tag, where a translator or a captioner looks as it writes, what is heard second by second in "
        "a sound, which samples the next one rests on, which frames of a clip decided."
    )
    return OfRun("look", "Look", callback=go, params=params, help=help)


def _text_of(run: Any, input: str) -> str:
    """What is looked at: of a text's task what an @file holds."""
    if _takes_files(run) or not input.startswith("@"):
        return input
    from .data.text import characters

    if not os.path.isfile(input[1:]):
        raise UserError(f"`{input}` names no file", fix="a text that begins with an @ has to stand in a file too")
    return "".join(characters(Path(input[1:]), run.config.encoding))


def graph() -> click.Command:
    def go(run: str, steps: int, out: str | None) -> None:
        from . import api, unrolling
        from .run import write_bytes

        model = _able(api.load(run), "picture")
        path = Path(out) if out else model.folder / "graph.svg"
        if path.suffix.lower() != ".svg":
            raise UserError(f"`--out {path}` does not say what to write; a graph may end in .svg", fix="--out graph.svg")
        write_bytes(path, unrolling.svg(model.task.picture(model.model), steps).encode())
        click.echo(path)

    params = [
        _run_argument(),
        click.Option(
            ["--steps"],
            type=click.IntRange(2, 12),
            default=4,
            help="columns, the last is step T; of dilated convolutions layers, at most 6  [4]",
        ),
        click.Option(["--out"], metavar="FILE", help="a .svg  [graph.svg in the run's folder]"),
    ]
    help = "Draw a run's net unrolled over time: its type, the shapes on the edges, shared weights in one colour."
    return click.Command("graph", callback=go, params=params, help=help)


def diagnose() -> click.Command:
    from .comparison import Options

    def go(run: str | None, file: tuple[str, ...], out: str | None, as_json: bool, **values: Any) -> None:
        folder = Path(out) if out else None if as_json else Path(run or "", "diagnosis")
        if run is None:
            _compare_cells(given(values), folder, as_json)
            return
        for name in given(values):
            raise UserError(f"`--{name}` compares cells before any data; `{run}` is a run", fix=f"leave `--{name}` out")
        _diagnose_run(run, list(file), folder, as_json)

    params = [
        click.Argument(["run"], required=False, metavar="[RUN]"),
        click.Argument(["file"], nargs=-1, metavar="[FILE…]"),
        *flags(Options),
        click.Option(["--out"], metavar="FOLDER", help="for pictures and page  [diagnosis, of a run in its folder]"),
        _json_flag("print all numbers as JSON, and draw nothing unless --out is given"),
    ]
    help = (
        "Why it learns or does not: gradients through time, saturated gates, dead units. Of a run, on its own data (or FILE…), "
        "with a verdict and what to try; without one, of fresh cells, with tasks that need a memory."
    )
    return click.Command("diagnose", callback=go, params=params, help=help)


def _compare_cells(values: dict[str, Any], folder: Path | None, as_json: bool) -> None:
    from . import comparison, diagnosis_page
    from .config import build
    from .progress import Progress

    options = build(comparison.Options, values)
    found = comparison.compare(options, Progress(as_json))
    note = f"{options.layers} x {options.hidden} units, seed {options.seed}"
    drawn = diagnosis_page.pictures_of_cells(found)
    _diagnosed("Cells side by side", note, found, diagnosis_page.of_cells(found), drawn, folder, as_json)


def _diagnose_run(run: str, names: list[str], folder: Path | None, as_json: bool) -> None:
    from . import api, diagnosis, diagnosis_page

    model = _able(api.load(run), "training_batch")
    with tempfile.TemporaryDirectory() as spool:
        batch = model.task.training_batch(model, names or diagnosis.own_data(model), Path(spool))
    found = diagnosis.diagnose(model, batch)
    note = f"a run of {_task_of(model)}, on {', '.join(names) or 'the data it was trained on'}"
    drawn = diagnosis_page.pictures_of_run(found)
    _diagnosed(f"Diagnosis of {model.folder}", note, found, diagnosis_page.of_run(found), drawn, folder, as_json)


def _diagnosed(
    title: str, note: str, found: Any, sections: dict[str, Any], drawn: Callable, folder: Path | None, as_json: bool
) -> None:
    from . import diagnosis_page

    if as_json:
        click.echo(_line(_plain(found)))
    else:
        _sections({name: rows for name, rows in sections.items() if rows})
    if folder is not None:
        _note(f"see {diagnosis_page.write(folder, title, note, sections, drawn)[-1]}")


def _pages_with(name: str) -> dict[str, Any]:
    from . import tasks

    pages = {task: tasks.load(task) for task in TASKS}
    return {task: page for task, page in pages.items() if hasattr(page, name)}


def info() -> click.Command:
    def go(run: str, as_json: bool) -> None:
        from . import summary

        about = summary.of_run(Path(run))
        click.echo(_line(about)) if as_json else _sections(about)

    return click.Command("info", callback=go, params=[_run_argument(), _json_flag()], help="What a run is and what it reached.")


def compare() -> click.Command:
    def go(runs: tuple[str, ...], data: tuple[str, ...], as_json: bool) -> None:
        from . import summary

        if data:
            _records(_on_data(runs, list(data)), as_json)
            return
        rows = summary.compared([Path(run) for run in runs])
        if as_json:
            click.echo(_line(rows))
            return
        _table([("", *runs), *((name, *map(tables.number, values)) for name, values in rows.items())])

    data = click.Option(["--data"], multiple=True, metavar="DATA…", help="translators: their BLEU on these pairs, and by chance")
    params = [click.Argument(["runs"], nargs=-1, required=True, metavar="RUN RUN…"), data, _json_flag()]
    return Spread("compare", callback=go, params=params, help="Runs side by side: where they differ, what they reached.")


def _on_data(names: tuple[str, ...], data: list[str]) -> list[dict[str, Any]]:
    """Runs of one task measured on the same data."""
    from . import api

    if len(names) < 2:
        raise UserError(f"`compare` got {len(names)} run; it takes two or more")
    runs = [_able(api.load(name), "compared") for name in names]
    with tempfile.TemporaryDirectory() as spool:
        part = runs[0].task.part(runs[0], data, Path(spool))
    return runs[0].task.compared(runs, part.texts)


def demo() -> click.Command:
    def go(task: str, data: str | None, out: str | None, minutes: float | None) -> None:
        from . import api, tasks

        page = tasks.load(task)
        if data is not None:
            if out is not None or minutes is not None:
                raise UserError("`--data` writes the data and trains nothing", fix="leave `--out` and `--minutes` out")
            click.echo("\n".join(map(str, page.demo(Path(data)))))
            return
        minutes = minutes or getattr(page, "DEMO_MINUTES", 2.0)
        folder = Path(out) if out else api.free_name("demo")
        made = folder.with_name(f"{folder.name}-data")
        settings = {"minutes": minutes} if "minutes" in page.Config.__dataclass_fields__ else {}
        run = api.train(task, page.demo(made), out=folder, began=BEGAN, **settings)
        click.echo(f"\n{page.glimpse(run, seed=1)}\n")
        program = "unrolled" if shutil.which("unrolled") else str(Path(sys.executable).with_name("unrolled"))
        lines = (line.format(run=run.folder, data=made) for line in (*page.TRY, "info {run}"))
        click.echo("now try:  " + "    ".join(f"{program} {line}" for line in lines), err=True)

    params = [
        click.Argument(["task"]),
        click.Option(["--data"], metavar="FOLDER", help="only write the data there, and print what `train` takes"),
        click.Option(["--out"], metavar="RUN", help="the run folder; its data are made beside it, in RUN-data  [runs/demo]"),
        click.Option(["--minutes"], type=float, help="wall time, of tasks that have that setting  [2, of caption 4]"),
    ]
    return click.Command("demo", callback=go, params=params, help="Train a task on data found or made on this machine.")


def export() -> click.Command:
    def go(
        runs: tuple[str, ...], to: str | None, page: str | None, pretrained: str | None, push: str | None, private: bool,
        int8: bool, as_json: bool,
    ) -> None:  # fmt: skip
        from . import api
        from . import export as exporting

        exporting.check_asked(len(runs), {"to": to, "page": page, "pretrained": pretrained, "push": push}, int8)
        opened = [api.load(run) for run in runs]
        if pretrained is not None or push is not None:
            from . import hub

            made = hub.save_pretrained(opened[0], pretrained) if pretrained else hub.push_to_hub(opened[0], push, private)
            click.echo(_line({"made": str(made)}) if as_json else made)
            return
        if page is not None:
            from .export.page import write

            made = write(opened, Path(page))
            click.echo(_line(_plain(made)) if as_json else f"{made.path}  {made.bytes:,} bytes: {', '.join(made.runs)}")
            return
        written = exporting.export(opened[0], Path(to), int8)
        if as_json:
            for file in written:
                click.echo(_line(_plain(file)))
            return
        for file in written:
            click.echo(f"{file.path}  {file.bytes:,} bytes, at most {file.difference:.1g} from the model")
            for line in exporting.told(file.int8) if file.int8 else ():
                click.echo(f"  {line}")

    params = [
        click.Argument(["runs"], nargs=-1, required=True, metavar="RUN…"),
        click.Option(["--to"], metavar="FILE", help="a .onnx"),
        click.Option(["--page"], metavar="DIR", help="a folder for a page with a tab for each run, that needs no server"),
        click.Option(["--pretrained"], metavar="DIR", help="a folder of weights, settings and a model card, as the hub has them"),
        click.Option(["--push"], metavar="NAME", help="such a folder as owner/name on the Hugging Face hub"),
        click.Option(["--private/--public"], default=True, help="of a repository that --push makes  [private]"),
        click.Option(["--int8"], is_flag=True, help="round weights to 8 bits, where onnxruntime's quantiser does"),
        _json_flag(),
    ]
    help = "Write a run as ONNX, checked against the model; or as a folder to share; or runs as a page that answers by itself."
    return click.Command("export", callback=go, params=params, help=help)


def serve() -> click.Command:
    from .serve.options import Serve

    def go(runs: tuple[str, ...], **values: Any) -> None:
        from .config import build
        from .serve import serve

        def ready(address: str) -> None:
            click.echo(address)
            sys.stdout.flush()

        serve(runs, build(Serve, given(values)), ready)

    params = [click.Argument(["runs"], nargs=-1, required=True, metavar="RUN…"), *flags(Serve)]
    help = "Answer over HTTP and WebSockets, and show a page with a tab for each run; prints its address once it is ready."
    return click.Command("serve", callback=go, params=params, help=help)


def doctor() -> click.Command:
    def go(as_json: bool) -> None:
        from . import doctor

        facts = doctor.report()
        click.echo(_line(dict(facts))) if as_json else _table(facts)

    return click.Command("doctor", callback=go, params=[_json_flag()], help="What this machine offers and what is used of it.")


def vectors() -> click.Command:
    help = "Words and their vectors: of a run of `embed`, or of a file (word2vec text or binary, GloVe text, .npy)."
    return Lazy(VECTOR_VERBS, "verb", name="vectors", subcommand_metavar="VERB RUN… [OPTIONS]", help=help)


def vectors_nearest() -> click.Command:
    from .config import build
    from .vectors import Nearest, Vectors

    def go(run: str, word: str, as_json: bool, **values: Any) -> None:
        options, opened = build(Nearest, given(values)), Vectors.open(run)
        found = opened.nearest(opened.spelt(word, _note), options.number, options.among)
        _records([each._asdict() for each in found], as_json)

    params = [_run_argument(), click.Argument(["word"]), *flags(Nearest), _json_flag()]
    return click.Command("nearest", callback=go, params=params, help="The words most similar to a word, by cosine.")


def vectors_analogy() -> click.Command:
    from .config import build
    from .vectors import Analogy, Vectors

    def go(run: str, a: str, b: str, c: str, as_json: bool, **values: Any) -> None:
        options, opened = build(Analogy, given(values)), Vectors.open(run)
        a, b, c = (opened.spelt(word, _note) for word in (a, b, c))
        _records(opened.explained(a, b, c, options), as_json, ("word", "similarity", f"to {b}", f"to {c}", f"to {a}"))

    params = [_run_argument(), *(click.Argument([word]) for word in "abc"), *flags(Analogy), _json_flag()]
    help = "A is to B as C is to …: the best answers, and how similar each is to the three words."
    return click.Command("analogy", callback=go, params=params, help=help)


def vectors_evaluate() -> click.Command:
    from . import evaluation
    from .config import build

    def go(run: str, files: tuple[str, ...], as_json: bool, **values: Any) -> None:
        from .vectors import Vectors

        options = build(evaluation.Evaluate, given(values))
        for result in Vectors.open(run).evaluate(files, options.among, options.method):
            if as_json:
                _records(evaluation.records(result), as_json)
            else:
                click.echo(evaluation.title(result))
                _table(evaluation.table(result))

    files = click.Argument(["files"], nargs=-1, required=True, metavar="FILE…")
    help = "How many analogies are solved, and how well similarities agree with people's."
    params = [_run_argument(), files, *flags(evaluation.Evaluate), _json_flag()]
    return click.Command("evaluate", callback=go, params=params, help=help)


def vectors_map() -> click.Command:
    from . import word_map
    from .config import build

    def go(run: str, as_json: bool, **values: Any) -> None:
        from .vectors import Vectors

        folder = Path(run) if Path(run).is_dir() else Path(run).parent
        figures = word_map.make(Vectors.open(run), build(word_map.Options, given(values)), folder)
        click.echo(_line(figures)) if as_json else _facts({**figures, "paths": "  ".join(figures["paths"])})

    params = [_run_argument(), *flags(word_map.Options), _json_flag()]
    return click.Command("map", callback=go, params=params, help="A picture and a page of words, similar ones close together.")


def vectors_convert() -> click.Command:
    from . import vector_convert
    from .config import build

    def go(run: str, out: str, as_json: bool, **values: Any) -> None:
        written = vector_convert.convert(Path(run), Path(out), build(vector_convert.Convert, given(values)), _note)
        click.echo(_line(written._asdict())) if as_json else _facts(written._asdict())

    params = [_run_argument(), click.Argument(["out"]), *flags(vector_convert.Convert), _json_flag()]
    help = "Write vectors as word2vec text (.txt .vec) or binary (.bin), GloVe text (.glove), or NumPy's matrix (.npy)."
    return click.Command("convert", callback=go, params=params, help=help)


VECTOR_VERBS = {
    "nearest": ("the words most similar to a word", vectors_nearest),
    "analogy": ("A is to B as C is to …", vectors_analogy),
    "evaluate": ("analogies solved, similarities against people's", vectors_evaluate),
    "map": ("a picture of the words", vectors_map),
    "convert": ("write another kind of file", vectors_convert),
}
VERBS = {
    "train": ("train a model on your data, or go on with a run", train),
    "sample": ("let a run make text or sound", sample),
    "predict": ("answer texts: a label, names, and why", predict),
    "evaluate": ("how well a run does on other data", evaluate),
    "look": ("look inside: what a net believes, sees and hears", look),
    "graph": ("draw the net unrolled over time", graph),
    "diagnose": ("what a net remembers, and what holds a run back", diagnose),
    "listen": ("hear a word: in a file, a stream, at the microphone", listen),
    "record": ("record takes of a word, one after another", record),
    "score": ("how surprised a language run is by a text", score),
    "vectors": ("words and their vectors: neighbours, analogies, a map", vectors),
    "export": ("write a run as ONNX, or as a page", export),
    "info": ("what a run is and what it reached", info),
    "compare": ("runs side by side", compare),
    "serve": ("answer over HTTP, and show a page", serve),
    "demo": ("train on data found on this machine", demo),
    "doctor": ("what this machine offers and what is used of it", doctor),
}


def _version(context: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        from . import __version__

        click.echo(f"unrolled {__version__}")
        context.exit()


cli = Lazy(
    VERBS,
    "verb",
    name="unrolled",
    help="Recurrent sequence models: train them on your own data, use them, look inside.",
    params=[
        click.Option(["--version"], is_flag=True, expose_value=False, is_eager=True, callback=_version, help="print the version")
    ],
)


# --- what is printed


def _run_argument() -> click.Argument:
    return click.Argument(["run"], metavar="RUN")


def _json_flag(help: str = "print JSON, one object a line") -> click.Option:
    return click.Option(["as_json", "--json"], is_flag=True, help=help)


def _line(data: Any) -> str:
    return json.dumps(data, ensure_ascii=False)


def _plain(value: Any) -> Any:
    """NamedTuples as dicts, all the way down."""
    if hasattr(value, "_asdict"):
        return {name: _plain(inner) for name, inner in value._asdict().items()}
    return [_plain(inner) for inner in value] if isinstance(value, list) else value


def _table(rows: list[tuple[str, ...]]) -> None:
    for line in tables.aligned(rows):
        click.echo(line)


def _records(records: list[dict[str, Any]], as_json: bool, head: tuple[str, ...] = ()) -> None:
    """Dicts of the same names: one JSON object a line, or a table."""
    for line in map(_line, records) if as_json else tables.lines(records, head):
        click.echo(line)


def _facts(values: dict[str, Any]) -> None:
    _table([(name, tables.number(value)) for name, value in values.items()])


def _note(text: str) -> None:
    click.echo(f"note: {text}", err=True)


def _sections(about: dict[str, Any]) -> None:
    for title, values in about.items():
        if isinstance(values, dict):
            click.echo(title)
            _table([("  " + name, tables.number(value)) for name, value in values.items()])
        elif isinstance(values, list):
            click.echo("\n".join([title, *("  " + line for line in tables.lines(values))]))
        else:
            click.echo(f"{title}: {tables.number(values)}")
