"""What a person is told when something cannot be done: one message, never a traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

RUN_FAILED, BAD_INPUT, MISSING_EXTRA, LIMIT, INTERRUPTED = 1, 2, 3, 4, 130


class UserError(Exception):
    """Something the user can mend.

    what   the thing in backticks, the value got and what is allowed
    where  a file and place in it (`names.csv:17`), or None
    fix    the next step, or None
    code   the exit code of the command line (the constants above)
    """

    def __init__(self, what: str, where: str | None = None, fix: str | None = None, code: int = BAD_INPUT):
        super().__init__(what, where, fix, code)
        self.what, self.where, self.fix, self.code = what, where, fix, code

    def __str__(self) -> str:
        lines = [self.what]
        if self.where is not None:
            lines.append(f"  where: {self.where}")
        if self.fix is not None:
            lines.append(f"  next:  {self.fix}")
        return "\n".join(lines)


def first_line(error: Exception) -> str:
    """What another package says of an error, cut to a line."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """'did you mean `lstm`?' when one known word is close to the one typed, else None."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"did you mean `{close[0]}`?" if close else None


def of_system(error: OSError, doing: str, path: str) -> UserError:
    """The message for an operating-system error met while `doing` something with `path`."""
    import errno

    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return UserError(
            f"no room left while {doing} `{path}`",
            fix="free some disk space; what was saved before is intact",
            code=LIMIT,
        )
    fix = "make its folder first" if error.errno == errno.ENOENT and doing == "writing" else None
    return UserError(f"cannot go on {doing} `{path}`: {(error.strerror or str(error)).lower()}", fix=fix)
