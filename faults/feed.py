"""The application's process: fires every trigger of its sessions, in an order of its own.

It may be killed at any moment and started again. It then begins with the firing that it was at:
each has an ``event_id``, so that firing it again is safe, which is what an application that does
not know the outcome has to do.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator

import shop
from settings import NAME_VARIABLE
from verdict import FEEDS, SESSIONS_IN_A_WAVE, WANTED, session_uid

from triggers_core import DispatchError, OutcomeUnknown, StorageError, default_plugins

LONGEST_PAUSE_SECONDS = 0.15
"""Between two firings."""

NAME = os.environ[NAME_VARIABLE]
assert NAME in FEEDS


def main() -> None:
    """Feed wave after wave until told to stop, then finish the work."""
    wave, done = shop.SETTINGS.progress(NAME)
    while True:
        for number, (change, is_made) in enumerate(changes(wave)):
            if number >= done:
                shop.SETTINGS.keep_progress(NAME, wave, number)
                insist(change, is_made)
                time.sleep(random.uniform(0.0, LONGEST_PAUSE_SECONDS))
        if shop.SETTINGS.stop.exists():
            break
        wave, done = wave + 1, 0
    if shop.SETTINGS.runner == "threading":
        default_plugins().runner("threading").join_all()


def changes(wave: int) -> Iterator[tuple[Callable[[], object], Callable[[], bool]]]:
    """Yield all that makes a wave's sessions go, and for each a look whether it is made."""
    numbers = range(SESSIONS_IN_A_WAVE)
    managers = [
        shop.ShopManager(session_uid(NAME, wave, number), storage=shop.STORAGE)
        for number in numbers
    ]
    for manager in managers:
        yield (
            lambda manager=manager: manager.update_configuration(shop.CONFIGURATION),
            lambda manager=manager: bool(manager.configuration()),
        )
    events = [
        (number, trigger_name, copy)
        for number in numbers
        for trigger_name in ("paid", "packed", "approved", "item")
        for copy in range(WANTED["t_each"] if trigger_name == "item" else 1)
    ]
    random.Random(f"{shop.SETTINGS.seed} {NAME} {wave}").shuffle(events)
    for number, trigger_name, copy in events:
        manager, event_id = managers[number], f"{trigger_name} {copy}"
        kwargs = {"event": event_id, "slow": wave == number == 0, "items": WANTED["t_each"]}
        yield (
            lambda manager=manager, name=trigger_name, kwargs=kwargs, event_id=event_id: (
                manager.fire(name, kwargs, event_id=event_id)
            ),
            lambda manager=manager, event_id=event_id: is_recorded(manager, event_id),
        )


def insist(change: Callable[[], object], is_made: Callable[[], bool]) -> None:
    """Make a change until the store has it; what was not dispatched is for recovery.

    Notes an error that says that the change was not made, when it was.
    """
    while True:
        try:
            change()
        except DispatchError:
            return
        except OutcomeUnknown:
            continue
        except StorageError as error:
            if _insist_on_an_answer(is_made):
                shop.SETTINGS.note("lied", error=str(error))
            continue
        return


def _insist_on_an_answer(ask: Callable[[], bool]) -> bool:
    while True:
        try:
            return ask()
        except StorageError:
            continue


def is_recorded(manager: shop.ShopManager, event_id: str) -> bool:
    with shop.STORAGE.read(manager.session_uid) as reader:
        return reader.outcome(event_id) is not None


if __name__ == "__main__":
    main()
