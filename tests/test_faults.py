"""A short fault campaign: what is killed, cut and doubled heals, and what is not is found out.

``make faults`` runs the whole of it, on every storage and runner.
"""

import json
import os
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

CAMPAIGN = Path(__file__).parents[1] / "faults" / "campaign.py"
DEADLINE = 300
FAULTS = 3
SERVERS = {"Redis": 6379, "RabbitMQ": 5672, "PostgreSQL": 5432}


@dataclass(frozen=True)
class Case:
    storage: str
    runner: str
    fault: str
    servers: tuple[str, ...] = ()
    without: tuple[str, ...] = ()

    def command(self, report):
        return [
            *(sys.executable, str(CAMPAIGN), "--json", str(report), "--faults", "1"),
            *("--per-round", str(FAULTS), "--storage", self.storage, "--runner", self.runner),
            *("--only", self.fault, *(f"--without={protection}" for protection in self.without)),
        ]


ON_THREADS = Case("sqlite", "threading", "after claim, before run")
ON_REDIS = Case(
    "postgresql", "celery-redis", "inside the transaction", servers=("PostgreSQL", "Redis")
)
ON_RABBITMQ = Case("sqlite", "celery-rabbitmq", "broker connections cut", servers=("RabbitMQ",))
WITHOUT_CLAIM = Case("sqlite", "threading", "message doubled", without=("claim",))
CASES = (ON_THREADS, ON_REDIS, ON_RABBITMQ, WITHOUT_CLAIM)


def answers(server):
    try:
        socket.create_connection(("127.0.0.1", SERVERS[server]), timeout=5).close()
    except OSError:
        return False
    return True


@pytest.fixture(scope="module")
def rounds(tmp_path_factory):
    """Return a function case → (exit code, the round's record). All are begun at once, as they
    wait more than they work."""
    folder = tmp_path_factory.mktemp("rounds")
    missing = {server for server in SERVERS if not answers(server)}
    begun = {
        case: subprocess.Popen(
            case.command(folder / f"{number}.json"),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
        )
        for number, case in enumerate(CASES)
        if not missing & set(case.servers)
    }

    def result(case):
        for server in missing & set(case.servers):
            message = f"no {server} answers; start one on port {SERVERS[server]} of this machine"
            if os.environ.get("CI") == "true":
                pytest.fail(message)
            pytest.skip(message)
        output, _ = begun[case].communicate(timeout=DEADLINE)
        report = folder / f"{CASES.index(case)}.json"
        assert report.exists(), output
        [this] = json.loads(report.read_text())["rounds"]
        return begun[case].returncode, this

    yield result
    for process in begun.values():
        process.terminate()
        process.communicate()


@pytest.mark.parametrize("case", [ON_THREADS, ON_REDIS, ON_RABBITMQ], ids=lambda case: case.runner)
def test_after_healing_nothing_is_lost_and_nothing_doubled(rounds, case):
    code, this = rounds(case)

    assert this["problems"] == [], this["log"]
    assert code == 0
    assert this["faults"] == FAULTS


def test_the_campaign_finds_what_runs_twice_without_the_claim(rounds):
    code, this = rounds(WITHOUT_CLAIM)

    assert any("ran 2 times under one claim" in problem for problem in this["problems"])
    assert code == 1


def test_a_seed_plans_the_same_faults_again():
    def plan(seed):
        return subprocess.run(
            [sys.executable, str(CAMPAIGN), "--plan", "--seed", seed],
            check=True,
            capture_output=True,
            encoding="utf-8",
            timeout=DEADLINE,
        ).stdout.splitlines()

    first, other = plan("8"), plan("9")
    assert first == plan("8")
    assert len(first) == len(other) > len(CASES)
    assert not set(first) & set(other)
