"""A short fault campaign: what is killed, cut and doubled heals, and what is not is found out.

``make faults`` runs the whole of it, on every storage and runner.
"""

import importlib
import json
import os
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from triggers_core import Status, TaskInstance

CAMPAIGN = Path(__file__).parents[1] / "faults" / "campaign.py"
DEADLINE = 300
FAULTS = 3
FEWER_FAULTS = 3
"""The exit code."""
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


def run_campaign(*options, **environment):
    return subprocess.run(
        [sys.executable, str(CAMPAIGN), *options],
        check=False,
        capture_output=True,
        encoding="utf-8",
        timeout=DEADLINE,
        env={**os.environ, **environment},
    )


def plan(seed="1", *options):
    planned = run_campaign("--plan", "--seed", seed, *options)
    assert planned.returncode == 0, planned.stderr
    return planned.stdout.splitlines()


def test_a_seed_plans_the_same_faults_again():
    first, other = plan("8"), plan("9")

    assert first == plan("8")
    assert len(first) == len(other) > len(CASES)
    assert not set(first) & set(other)


def test_a_hundred_faults_are_of_every_kind_and_on_every_storage_and_runner(faults):
    kinds = faults("kinds")

    planned = plan("1", "--faults", "100")

    assert all(any(kind in each for each in planned) for kind in kinds.KINDS)
    on = {tuple(each.split()[1:3]) for each in planned}
    assert on == {(storage, runner) for storage in kinds.STORAGES for runner in kinds.RUNNERS}


def test_fewer_faults_than_asked_for_are_no_success():
    ended = run_campaign("--faults", "1", "--seconds", "0")

    assert ended.returncode == FEWER_FAULTS
    assert "0 faults of 1: the time is up" in ended.stdout


def test_faults_for_which_there_is_no_redis_server_are_no_success():
    ended = run_campaign("--faults", "0", PATH="")

    assert ended.returncode == FEWER_FAULTS
    assert "Redis restarted with its data: there is no redis-server" in ended.stdout
    assert "the time is up" not in ended.stdout


@pytest.fixture
def faults(monkeypatch):
    """Return a function that imports a module of the campaign."""
    monkeypatch.syspath_prepend(CAMPAIGN.parent)
    return importlib.import_module


@pytest.fixture
def settings(faults, tmp_path):
    """A round's settings, whose journal is empty."""
    return faults("settings").Settings(
        folder=str(tmp_path),
        **dict.fromkeys(("seed", "storage_url", "runner", "broker_url", "queue", "fault"), ""),
    )


def test_a_line_of_the_journal_that_is_half_written_is_left_out(settings):
    settings.note("ran", instance="t_join#0")
    with settings.path("journal").open("a") as journal:
        journal.write('{"event": "ran", "inst')

    assert [noted["instance"] for noted in settings.journal("ran")] == ["t_join#0"]


def test_a_line_of_the_journal_that_is_damaged_is_an_error(settings):
    settings.path("journal").write_text('{"event": "ran", "inst\n')
    settings.note("ran", instance="t_join#0")

    with pytest.raises(json.JSONDecodeError):
        settings.journal("ran")


CLAIMED, GIVEN_UP = 100.0, 105.0
WORKER, OTHER_WORKER = 11, 12


@dataclass(frozen=True)
class Struck:
    """A fault struck a worker; and whether that explains that a task was run again, which
    WORKER claimed at CLAIMED and which was given up at GIVEN_UP."""

    fault: str
    worker: int
    at: float
    explains: bool
    is_claim_noted: bool = True


@pytest.mark.parametrize(
    "struck",
    [
        Struck("KILLED", WORKER, at=101.0, explains=True),
        Struck("KILLED", WORKER, at=90.0, explains=False),
        Struck("KILLED", WORKER, at=106.0, explains=False),
        Struck("KILLED", OTHER_WORKER, at=101.0, explains=False),
        Struck("KILLED", OTHER_WORKER, at=101.0, explains=True, is_claim_noted=False),
        Struck("KILLED", OTHER_WORKER, at=106.0, explains=False, is_claim_noted=False),
        Struck("FROZEN", WORKER, at=101.0, explains=True),
        Struck("FROZEN", WORKER, at=106.0, explains=False),
        Struck("FROZEN", OTHER_WORKER, at=101.0, explains=True),
        Struck("FROZEN", OTHER_WORKER, at=106.0, explains=False),
    ],
    ids=str,
)
def test_only_a_fault_that_struck_while_a_task_ran_explains_that_it_ran_again(
    faults, settings, struck
):
    settings.note("gone", gone=struck.worker, at=struck.at)
    if struck.is_claim_noted:
        claim = {"session": "s", "instance": "t_join#0", "pid": WORKER, "group": WORKER}
        settings.note("claimed", **claim, began=CLAIMED)
    given_up = TaskInstance(
        session_uid="s",
        task_name="t_join",
        number=0,
        config_digest="",
        status=Status.REPLAYED,
        created_at=CLAIMED - 1,
        changed_at=GIVEN_UP,
        metadata={"error": {"type": "WorkerLost"}},
    )

    fault = getattr(faults("kinds"), struck.fault)
    explanations = faults("verdict").Explanations(settings, fault)

    assert explanations.explain(given_up) is struck.explains
