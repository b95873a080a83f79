"""A form comes in piece by piece, in any order; each step starts when all that it needs is here."""

import random
import sys
import tempfile
import time
from collections.abc import Generator, Mapping
from typing import Any

import insurance
from rich.console import Console
from rich.table import Table

from triggers_core import FireOutcome, Plugins, TaskInstance, TriggerManager, hookimpl

EVENT_SECONDS = 0.2
TASK_SECONDS = 0.25
LOOKS = {
    "unstarted": "◌ [dim]",
    "scheduled": "◔ [yellow]",
    "running": "◑ [cyan]",
    "finished": "● [green]",
    "failed": "✗ [red]",
    "abandoned": "⊘ [magenta]",
}
console = Console(highlight=False, soft_wrap=True)


class FormManager(TriggerManager):
    """Runs its tasks in threads."""

    name = "form"
    default_task_runner_name = "threading"


class Narrator:
    """A plugin. It hears of what happens once that is recorded, and tells it."""

    started = time.monotonic()

    @hookimpl
    def triggers_fired(
        self, trigger_name: str, trigger_kwargs: Mapping[str, Any], outcome: FireOutcome
    ) -> None:
        to = f" → {', '.join(outcome.taken)}" if outcome.taken else ""
        self.tell(f"[bold]▶ {trigger_name}[/]{to}  [dim]{in_words(trigger_kwargs)}[/]")

    @hookimpl
    def triggers_status_changed(self, task_instance: TaskInstance) -> None:
        waits = f", waits for {', '.join(sorted(task_instance.waits_for))}"
        self.tell(
            f"    {LOOKS[task_instance.status]}{task_instance.name} {task_instance.status}[/]"
            f"[dim]{waits if task_instance.waits_for else ''}[/]"
        )

    @hookimpl(wrapper=True)
    def triggers_execute(self) -> Generator[None, Any, Any]:
        time.sleep(TASK_SECONDS)  # so that tasks overlap with what comes in
        return (yield)

    def tell(self, line: str) -> None:
        console.print(f"[dim]{time.monotonic() - self.started:5.2f} s[/]  {line}")


def main() -> None:
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else random.randrange(100)
    events = random.Random(seed).sample(insurance.EVENTS, k=len(insurance.EVENTS))
    console.print(f"seed {seed}: {', '.join(name for name, _ in events)}\n")

    with tempfile.TemporaryDirectory() as folder:
        plugins = Plugins()
        plugins.register(Narrator())
        storage = plugins.open_storage(f"sqlite:///{folder}/forms.db")
        manager = FormManager("form 2026-42", storage=storage, plugins=plugins)
        manager.update_configuration(insurance.CONFIGURATION)

        for trigger_name, trigger_kwargs in events:
            manager.fire(trigger_name, trigger_kwargs)
            time.sleep(EVENT_SECONDS)
        plugins.runner("threading").join_all()
        show(manager)
        storage.close()


def show(manager: TriggerManager) -> None:
    table = Table("step", "status", "took", "result", title=f"\n{manager.session_uid}")
    for instance in manager.instances():
        table.add_row(
            instance.name,
            f"{LOOKS[instance.status]}{instance.status}[/]",
            ", ".join(instance.trigger_kwargs),
            in_words(instance.metadata.get("result", {})),
        )
    console.print(table)


def in_words(kwargs: Mapping[str, Any]) -> str:
    return ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in kwargs.items())


if __name__ == "__main__":
    main()
