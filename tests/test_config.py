"""Settings: checked once, the same whether they come from flags, Python or JSON."""

import dataclasses
import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unrolled import config
from unrolled.config import build, option, to_json
from unrolled.errors import UserError, did_you_mean

few = settings(max_examples=80, deadline=None)


@dataclasses.dataclass(frozen=True)
class Paint:
    colour: str = option("red", "of the wall", choices=("red", "green"))
    coats: int = option(2, "how many", minimum=1, maximum=5)
    litres: float = option(1.5, "at hand", minimum=0)
    cooling: float = option(0.0, "in degrees", maximum=3)
    ladder: bool = option(False, "is there one")
    name_of_room: str | None = option(None, "off is None")
    width: float | None = option(None, "in metres", minimum=0.5)
    walls: tuple[str, ...] = option((), "to paint", choices=("north", "south"))
    inner: int = 3  # no option: not a setting


sound = st.fixed_dictionaries({}, optional={
    "colour": st.sampled_from(["red", "green"]), "coats": st.integers(1, 5), "ladder": st.booleans(),
    "litres": st.floats(0, allow_nan=False, allow_infinity=False) | st.integers(0, 9), "cooling": st.floats(-9, 3),
    "name_of_room": st.none() | st.text(), "width": st.none() | st.floats(0.5, 1e9),
    "walls": st.lists(st.sampled_from(["north", "south"])) | st.lists(st.sampled_from(["north"])).map(tuple),
})  # fmt: skip


@few
@given(sound)
def test_settings_come_back_from_json_the_same(values):
    paint = build(Paint, values)
    again = json.loads(json.dumps(to_json(paint)))
    again.pop("inner")
    assert build(Paint, again) == paint


def test_what_is_not_given_keeps_its_default():
    assert build(Paint, {"coats": 3}) == Paint(coats=3)


def test_a_whole_number_does_for_a_number_but_not_the_other_way():
    assert type(build(Paint, {"litres": 2}).litres) is float
    with pytest.raises(UserError, match=r"^`--coats` got `2.0`; a whole number is needed$"):
        build(Paint, {"coats": 2.0})


WRONG = [
    ({"coats": 0}, "`--coats` got `0`; allowed is from 1 to 5"),
    ({"coats": 6}, "`--coats` got `6`; allowed is from 1 to 5"),
    ({"litres": -0.1}, "`--litres` got `-0.1`; allowed is at least 0"),
    ({"cooling": 3.5}, "`--cooling` got `3.5`; allowed is at most 3"),
    ({"litres": math.nan}, "`--litres` got `nan`; allowed is at least 0"),
    ({"cooling": math.nan}, "`--cooling` got `nan`; allowed is at most 3"),
    ({"coats": "two"}, "`--coats` got `two`; a whole number is needed"),
    ({"coats": True}, "`--coats` got `True`; a whole number is needed"),
    ({"coats": None}, "`--coats` got `None`; a whole number is needed"),
    ({"litres": "much"}, "`--litres` got `much`; a number is needed"),
    ({"litres": True}, "`--litres` got `True`; a number is needed"),
    ({"ladder": 1}, "`--ladder` got `1`; true or false is needed"),
    ({"name_of_room": 7}, "`--name-of-room` got `7`; a word is needed"),
    ({"width": 0.25}, "`--width` got `0.25`; allowed is at least 0.5"),
    ({"walls": "north"}, "`--walls` got `north`; a list is needed"),
    ({"walls": ["norht"]}, "`--walls` got `norht`; allowed are north, south\n  next:  did you mean `north`?"),
    ({"colour": "blue"}, "`--colour` got `blue`; allowed are red, green"),
    ({"colour": "gren"}, "`--colour` got `gren`; allowed are red, green\n  next:  did you mean `green`?"),
    ({"inner": 4}, "`inner` is not a setting; known are "),
    ({"colr": 4}, "next:  did you mean `colour`?"),
]


@pytest.mark.parametrize(("values", "message"), WRONG, ids=[str(values) for values, _ in WRONG])
def test_a_wrong_setting_says_what_it_got_and_what_is_allowed(values, message):
    with pytest.raises(UserError) as raised:
        build(Paint, values)
    assert message in str(raised.value)
    assert raised.value.code == 2


def test_a_wrong_setting_in_a_file_names_the_file():
    with pytest.raises(UserError, match=r"\n  where: runs/a/config\.json"):
        build(Paint, {"coats": 0}, "runs/a/config.json")


@few
@given(st.integers() | st.floats(allow_nan=False))
def test_bounds_are_inclusive(value):
    if 1 <= value <= 5 and type(value) is int:
        assert build(Paint, {"coats": value}).coats == value
    else:
        with pytest.raises(UserError):
            build(Paint, {"coats": value})


def test_options_tell_all_that_a_flag_needs():
    found = {o.name: o for o in config.options(Paint)}
    assert list(found) == ["colour", "coats", "litres", "cooling", "ladder", "name_of_room", "width", "walls"]
    assert found["name_of_room"][:5] == ("name_of_room", str, None, "off is None", None)
    assert found["name_of_room"].flag == "--name-of-room"
    assert found["width"].optional and not found["coats"].optional
    assert (found["walls"].many, found["walls"].type, found["walls"].default) == (True, str, ())


def test_only_a_near_word_is_proposed():
    assert did_you_mean("lsmt", ["rnn", "gru", "lstm"]) == "did you mean `lstm`?"
    assert did_you_mean("transformer", ["rnn", "gru", "lstm"]) is None


def test_a_message_has_its_place_and_next_step_on_lines_of_their_own():
    assert str(UserError("what")) == "what"
    assert str(UserError("what", "a.txt:3", "do this")) == "what\n  where: a.txt:3\n  next:  do this"
