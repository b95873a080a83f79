"""Faulty in retries and their time."""

from dataclasses import replace

from runner_mutants.bases import Pool, Sound, mutant


@mutant("R16", "it pays no attention to the cooldown")
class NoCooldown(Sound):
    def run(self, manager, task_instance):
        super().run(manager, replace(task_instance, not_before=0.0))


@mutant("C5", "an instance in its cooldown keeps a worker")
class SleepsInWorker(Pool):
    capabilities = frozenset({"cooldown"})
