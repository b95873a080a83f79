"""The threading runner keeps the contract of every runner."""

from triggers_conformance.runner import RunnerConformance


class TestThreadingTaskRunner(RunnerConformance):
    runner_name = "threading"
