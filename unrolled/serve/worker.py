"""One thread that a model answers in, and the queue before it.

What waits and may be answered together is: nothing is held back for others to come, so a lone request loses no time, and under
load a batch is what came while the last one was answered.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

TOGETHER = 64  # items answered in one call


class Full(Exception):
    """The queue is full; `seconds` until it may not be."""

    def __init__(self, seconds: int):
        super().__init__(seconds)
        self.seconds = seconds


class Work(NamedTuple):
    """How items are answered: answer(items) -> an answer for each, or the error in its place; jobs of equal keys are answered in
    one call. Where that call itself fails, it is made again for each job alone, so it may change nothing."""

    answer: Callable[[list[Any]], Sequence[Any]]
    key: Hashable


def one_by_one(answer: Callable[[Any], Any]) -> Callable[[list[Any]], list[Any]]:
    """answer(item) for each item, once; an error stands in the place of its own answer."""

    def answers(items: list[Any]) -> list[Any]:
        found = []
        for item in items:
            try:
                found.append(answer(item))
            except Exception as error:
                found.append(error)
        return found

    return answers


class Job(NamedTuple):
    work: Work
    items: list[Any]
    future: asyncio.Future
    counted: bool


class Worker:
    """
    queue     jobs that may wait
    deadline  seconds until a job's answer must be there
    told      told(items, seconds) after every call
    """

    def __init__(self, name: str, queue: int, deadline: float, told: Callable[[int, float], None] = lambda items, seconds: None):
        self.queue, self.deadline, self.told = queue, deadline, told
        self.jobs: deque[Job] = deque()
        self.waiting = 0  # counted jobs that are not answered yet
        self.pace = 0.01  # seconds a job, lately
        self.ready, self.open = threading.Condition(), True
        self.thread = threading.Thread(target=self._work, name=f"worker of {name}", daemon=True)
        self.thread.start()

    async def ask(self, work: Work, items: Sequence[Any], counted: bool = True) -> list[Any]:
        """An answer to each item. Full where too many wait, TimeoutError where the deadline passed, or the first item's error.

        counted=False: a stream's next piece, of which there is one at a time; it is not refused.
        """
        if counted and (again := self.full()) is not None:
            raise Full(again)
        job = Job(work, list(items), asyncio.get_running_loop().create_future(), counted)
        self.waiting += counted
        try:
            with self.ready:
                self.jobs.append(job)
                self.ready.notify()
            async with asyncio.timeout(self.deadline):  # wait_for would make a task of it: a tenth of a small answer's time
                found = await job.future
        finally:
            self.waiting -= counted
        for one in found:
            if isinstance(one, Exception):
                raise one
        return found

    def full(self) -> int | None:
        """Seconds after which to ask again, where as many wait as may; else None."""
        return max(1, round(self.waiting * self.pace)) if self.waiting >= self.queue else None

    def close(self, seconds: float) -> bool:
        """End the thread; whether it did within so many seconds."""
        with self.ready:
            self.open = False
            self.ready.notify()
        self.thread.join(seconds)
        return not self.thread.is_alive()

    def _work(self) -> None:
        while (jobs := self._collected()) is not None:
            if jobs:
                began = time.perf_counter()
                answers = _answered(jobs)
                seconds = time.perf_counter() - began
                self.pace += 0.1 * (seconds / len(jobs) - self.pace)
                self.told(sum(len(job.items) for job in jobs), seconds)
                _hand_over(jobs, answers)

    def _collected(self) -> list[Job] | None:
        """The first job that someone still waits for, and others that can be answered with it; None at the end."""
        with self.ready:
            while self.open and not self.jobs:
                self.ready.wait()
            if not self.open:
                return None
            found: list[Job] = []
            others: list[Job] = []
            size = 0
            while self.jobs and size < TOGETHER:
                job = self.jobs.popleft()
                if job.future.done():  # its deadline passed while it waited
                    continue
                if found and (job.work.key != found[0].work.key or size + len(job.items) > TOGETHER):
                    others.append(job)
                    continue
                found.append(job)
                size += len(job.items)
            self.jobs.extendleft(reversed(others))
            return found


def _answered(jobs: list[Job]) -> list[list[Any] | Exception]:
    """The answers of each job; where a call fails, each job is asked alone, so that one's fault is not another's."""
    answer, items = jobs[0].work.answer, [item for job in jobs for item in job.items]
    try:
        answers = iter(answer(items))
        return [list(itertools.islice(answers, len(job.items))) for job in jobs]
    except Exception as error:
        return [error] if len(jobs) == 1 else [_answered([job])[0] for job in jobs]


def _hand_over(jobs: list[Job], answers: list[list[Any] | Exception]) -> None:
    """To whom it may concern, in their loop, at once."""
    loop = jobs[0].future.get_loop()
    if not loop.is_closed():
        loop.call_soon_threadsafe(_set, jobs, answers)


def _set(jobs: list[Job], answers: list[list[Any] | Exception]) -> None:
    for job, answer in zip(jobs, answers, strict=True):
        if job.future.done():
            continue
        if isinstance(answer, Exception):
            job.future.set_exception(answer)
        else:
            job.future.set_result(answer)
