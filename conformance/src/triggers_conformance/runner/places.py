"""Where tasks run: in another process, or in the call itself."""

from __future__ import annotations

import os
from dataclasses import fields

from triggers_conformance.bench import Bench
from triggers_conformance.probes import SealedInstance, SealedKwargs
from triggers_conformance.rules import broken, rule
from triggers_conformance.runner.steps import held_instances, listed
from triggers_core import Status


class Places:
    """Checks C6, C7, C8."""

    @rule("C6", needs="remote", mend="run tasks in the worker; or do not declare 'remote'")
    def test_c6_another_process_runs_the_task(self, triggers_bench: Bench) -> None:
        """The task runs in another process than the one that fires."""
        session = triggers_bench.session({"t": {"after": ["go"], "run": "note"}})
        session.fire("go")
        session.settle_finished()
        if session.notes()[0].pid == os.getpid():
            broken("ran the task in the process that fired")

    @rule("C7", needs="remote", mend="send Reference.to(manager, task_instance).to_dict()")
    def test_c7_a_message_is_a_reference(self, triggers_bench: Bench) -> None:
        """A message carries a reference: no kwargs and no live objects."""
        session = triggers_bench.session({"t": {"after": ["go"], "run": "note"}})
        (instance,) = held_instances(session, "go", 1)
        used: list[str] = []
        values = {field.name: getattr(instance, field.name) for field in fields(instance)}
        values["trigger_kwargs"] = SealedKwargs(instance.trigger_kwargs, used)
        try:
            session.dispatch(SealedInstance(used, values))
        finally:
            if used:
                broken(f"{used[0]} in order to send it")
        session.settle_finished()

    @rule("C8", needs="inline", mend="return from run() after triggers_core.execute has")
    def test_c8_inline_work_has_ended_when_run_returns(self, triggers_bench: Bench) -> None:
        """``run`` returns after the task has ended, its cascade included."""
        session = triggers_bench.session(
            {"t": {"after": ["go"], "run": "note"}, "u": {"after": ["t"], "run": "note"}}
        )
        session.fire("go")
        ends = {instance.name: instance.status for instance in session.manager.instances()}
        if ends != {"t#0": Status.FINISHED, "u#0": Status.FINISHED}:
            broken(f"returned from run() with {listed(ends)}")
