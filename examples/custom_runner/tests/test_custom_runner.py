from triggers_conformance.runner import RunnerConformance


class TestCustomRunner(RunnerConformance):
    runner_name = "custom_runner"
