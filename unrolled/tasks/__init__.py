"""The tasks, one page each. A task is a module with the names below, in this order; there is no base class.

Config                     frozen dataclass: every setting, its default and one-line help
demo(folder)               writes a small data set of its own making, in the real format; returns the data's paths
read(config, folder)       the user's files -> Data (codec, examples); may keep files in `folder`, which the run keeps
Model(config, codec)       forward(batch, state) -> outputs, state; loss(outputs, batch); start and step where it unrolls
plan(config, data)         the config with every size chosen for the data, the machine and the minutes
baselines(data)            the floors every report prints beside the measures
calibrate(model, …)        what is fitted on validation data after training, a number or two (may do nothing)
evaluate(model, data)      {measure: value}; MEASURE names the one that picks the best step
"""

from __future__ import annotations

import importlib
from types import ModuleType

from ..errors import UserError, did_you_mean

TASKS = {"language": "learn a text symbol by symbol, write like it, score other texts"}


def load(name: str) -> ModuleType:
    """The page of a task; a UserError names the known ones."""
    if name not in TASKS:
        raise UserError(f"`{name}` is not a task; known are {', '.join(TASKS)}", fix=did_you_mean(name, TASKS))
    return importlib.import_module(f".{name}", __name__)
