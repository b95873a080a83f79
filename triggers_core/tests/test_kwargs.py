"""What may be fired with a trigger, and that it is kept as it was: rule F5."""

import math
from decimal import Decimal

import pytest

from triggers_core import InvalidKwargs

from .shop import SHIP


@pytest.mark.parametrize(
    ("kwargs", "culprit", "kind"),
    [
        ({"when": {1}}, "when", "set"),
        ({"a": [0, {"b": object()}]}, "a[1].b", "object"),
        ({"a": b"bytes"}, "a", "bytes"),
        ({"amount": Decimal("1.5")}, "amount", "Decimal"),
        ({"a": {"b": math.nan}}, "a.b", "nan"),
        ({"a": -math.inf}, "a", "-inf"),
        ({"a": {2: "x"}}, "key 2 in a", "int"),
        ({None: 1}, "key None", "NoneType"),
        ([("a", 1)], "kwargs", "list"),
    ],
)
def test_f5_kwargs_that_are_no_json_are_refused_by_key_and_type(
    kwargs, culprit, kind, manager, storage, stored
):
    manager.update_configuration({"t_ship": SHIP})
    before = stored(storage)

    with pytest.raises(InvalidKwargs) as caught:
        manager.fire("paid", kwargs)

    message = str(caught.value)
    assert message.startswith("trigger 'paid': ")
    assert culprit in message
    assert kind in message
    assert stored(storage) == before


@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"": 0, "with space": 1, "ünïcode ✓": "✓"},
        {"a": [None, True, False, 0, -1, 1.5, "", [], {}]},
        {"big": 10**300, "small": 5e-324, "zero": -0.0},
        {"text": "line\nbreak\0nul\ud800lone surrogate"},
        {"paid": {"paid": {"paid": {}}}},
    ],
)
def test_f5_what_json_has_a_form_for_arrives_as_it_was_fired(kwargs, manager):
    manager.update_configuration({"t_ship": SHIP})

    manager.fire("paid", kwargs)

    assert manager.instance("t_ship#0").trigger_kwargs == {"paid": kwargs}


def test_f5_a_structure_that_contains_itself_is_refused(manager):
    kwargs = {"list": []}
    kwargs["list"].append(kwargs)

    with pytest.raises(InvalidKwargs, match=r"list\[0\]\.list\[0\].*contains itself"):
        manager.fire("paid", kwargs)


def test_f5_what_was_fired_is_not_the_callers_any_more(manager):
    manager.update_configuration({"t_ship": {**SHIP, "andEvery": "ordered"}})
    kwargs = {"items": [{"count": 1}]}

    manager.fire("paid", kwargs)
    kwargs["items"][0]["count"] = 2
    manager.instance("t_ship#0").trigger_kwargs["paid"]["items"].append("mine")
    manager.fire("ordered")
    manager.fire("ordered")

    assert [instance.trigger_kwargs["paid"] for instance in manager.instances()] == [
        {"items": [{"count": 1}]},
        {"items": [{"count": 1}]},
    ]
