"""The tasks, one page each. A task is a module with these names; there is no base class.

Every page:
MEASURE                              the measure that is reported, smaller is better; fit.fit picks the best step by it
TRY                                  command lines for who has seen the demo, {run} the run, {data} its data
Config                               frozen dataclass: every setting, its default and one-line help
demo(folder)                         writes a small data set in the real format; returns the data's paths; DEMO_MINUTES, if
                                     two are not enough to learn it
read(config, folder, …)              the user's files; keeps what training reads in `folder`
Model(config, codec)                 what a run's weights are put in
describe(config, data, model)        lines for the user before the wait
baselines(…)                         the floors every report prints beside the measures
glimpse(run, seed)                   a little of what it has learnt, as text

A page that fit.fit trains:
read(config, folder, base)           also: base, a codec to extend
reopen(codec, accounts, folder)      the Data that read kept there
Model(config, codec)                 forward(batch, state) -> outputs, state; loss(outputs, batch); start, step
plan(config, data)                   the config with every size chosen for the data, the machine and the minutes
most_steps, passes(config, data, …)  what minutes may become, and what that means in words
batches, settings(config, data)      what fit.fit reads and obeys
take_vectors(config, codec, model)   begin with vectors learned elsewhere; lines for the user
inherited(base, given)               the settings that weights of another run decide
calibrate(model, codec, part, limit) what is fitted on validation data before each evaluation
evaluate(model, codec, part, limit)  {measure: value}

A page that answers (the verbs predict, evaluate):
Predict, Evaluate                    options of the verbs
item(run, text)                      what is typed in, to be answered
items(run, name, options, spool)     (place, what) for all that a file or standard input holds
predict(run, items, options)         a NamedTuple for each
shown(answer, coloured)              one as a person reads it
part(run, names, spool, options)     data to evaluate on
examine(run, part)                   tables of measures: {title: [{column: value}]}
details(run, data, folder, limit)    what report.json holds beside the measures; `reached`: lines that say these in words;
                                     under `dev`, more measures

Of a page that answers, optionally: TAKES = "sound", "clip" or "picture", when what is typed in is a file's path; opened(run,
item), what `predict` takes of an item, read from its file, a UserError where it cannot be; told(event), what `listen` heard as a
person reads it; NEEDS_DATA = False, when other options may stand in for the data.

A page that scores texts of others (the verb score):
Score                                options
read_to_score(run, names, spool)     a tuple of what `score` takes
score(run, …, options)               texts, nats of each, measures, protocol

A page that has more:
prime(model, data)                   sets weights that the data tell before any training
equip(config, data, model, begins)   what a model takes of the data to be trained, no weight; when a run begins, a UserError
                                     where the model is not fit for it
settle(config, data)                 the config with what is chosen once the number of steps is known, of no weight's shape
conclude(model, codec, part, limit)  what is chosen last, for the best step, on all validation data; kept with it
training_batch(run, names, spool)    a batch of these data as it is trained on (the verb diagnose)
picture(model)                       an unrolling.Net: how it is drawn over time (the verb graph)
remark(config, measures, floors)     a line for the user beside each evaluation
Sample; sample, samples | compose    options of the verb sample; what it makes: text as it comes or whole, or sound as files
Watched, write_on, expected; pieces; Following  what a server tells as it comes: symbols, what was expected, sound, what is heard
watch(model, codec, part, limit)     what stands in for evaluate while training, with the same MEASURE; cheaper
compared(runs, texts)                runs on the same data, and whether they differ by chance (compare --data)
others(options)                      the task and the folders of other runs that options name
together(run, others)                the run with others that vote too (predict --beside), or that it writes with (--lm RUN)
graph(builder, run)                  writes the model as ONNX graphs; returns what computes the same, for each (the verb export)
exported(run)                        what a runtime needs to know beside graph and codec, as JSON has it
AT_ONCE                              items that `predict` is given at once; of 1, a file that cannot be read loses no other

A page that can be looked into (the verb look):
look(run, text)                      what is to be seen; of sound, pictures and clips `text` is the file's path. A page that has
                                     options, `Look`, takes them as third
VIEW                                 the module that shows it: ENDINGS {".html": to bytes, …}, table(…) for a person to
                                     read, whole(…) for programs; remark(…), a line beside the table, if it has one

A page that hears (the verb listen):
Listen                               options
listen(run, source, options)         what is heard, as dicts, as it comes

A page that trains by a loop of its own:
begin(config, folder, start_from, …)  read the data and leave a run at step 0 in `folder`
go_on(folder, config, codec, …)      train from the last saved step to the end, write report.json
"""

from __future__ import annotations

import importlib
from types import ModuleType

from ..errors import UserError, did_you_mean

TASKS = {
    "language": "learn a text symbol by symbol, write like it, score other texts",
    "embed": "learn a vector for every word: neighbours, analogies, a map",
    "classify": "read a text and answer with a label: sentiment, stars, topics",
    "tag": "find names in text, or any words that are marked",
    "translate": "read a sentence and write it in another language",
    "caption": "say what a picture shows, and where it looked",
    "trigger": "hear a word: in files, in streams, at the microphone",
    "speech": "write down what is said in a recording",
    "video": "see what happens in a clip, or in each of its frames",
    "wavenet": "make sound, sample by sample",
}


def load(name: str) -> ModuleType:
    """The page of a task; a UserError names the known ones."""
    if name not in TASKS:
        raise UserError(f"`{name}` is not a task; known are {', '.join(TASKS)}", fix=did_you_mean(name, TASKS))
    return importlib.import_module(f".{name}", __name__)


def trains_itself(page: ModuleType) -> bool:
    """Whether a page has a training loop of its own."""
    return hasattr(page, "go_on")
