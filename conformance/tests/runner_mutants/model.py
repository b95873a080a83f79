"""Faulty in what only random sessions find."""

from runner_mutants.bases import Sound, mutant


@mutant("M1", "it loses the retries of what awaited two triggers")
class LosesSomeRetries(Sound):
    def run(self, manager, task_instance):
        if task_instance.attempt == 1 or len(task_instance.trigger_kwargs) == 1:
            super().run(manager, task_instance)
