"""Each benchmark runs at a tiny size and yields numbers. How fast anything is, no test says."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import redis

SUITE = Path(__file__).parents[1] / "benchmarks" / "suite.py"
DEADLINE_SECONDS = 120
REDIS = "redis://127.0.0.1:6379"
DATABASES = range(15, 4, -1)


def run_tiny(name, folder, **variables):
    """Return what the benchmark wrote."""
    done = subprocess.run(
        [sys.executable, str(SUITE), "--tiny", "--results", str(folder), name],
        check=False,
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONUTF8": "1", **variables},
        timeout=DEADLINE_SECONDS,
    )
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "bench.json").read_text("utf-8"))


def check(found):
    if os.environ.get("CI") == "true":
        assert not found["skipped"]
    for row in found["rows"]:
        numbers = [*row["ratios"], row["lower"], row["median"], row["upper"]]
        assert row["ratios"], row["name"]
        assert all(map(math.isfinite, numbers)), row["name"]
        assert row["lower"] <= row["median"] <= row["upper"]


@pytest.mark.parametrize(
    ("name", "fewest_rows"),
    [
        ("fire", 3),
        ("counted", 2),
        ("threads", 3),
        ("blob", 2),
        ("hooks", 8),
        ("batch", 2),
        ("imports", 9),
    ],
)
def test_each_benchmark_yields_finite_ratios(tmp_path, name, fewest_rows):
    found = run_tiny(name, tmp_path)

    check(found)
    assert len(found["rows"]) >= fewest_rows


def test_growth_yields_finite_ratios_and_draws_its_curves(tmp_path):
    found = run_tiny("growth", tmp_path)

    check(found)
    curves = {row["curve"][0] for row in found["rows"] if row["curve"]}
    assert curves == {"instances in the session", "sessions in the store"}
    for what in curves:
        drawn = (tmp_path / f"{what.replace(' ', '-')}.svg").read_text("utf-8")
        assert f"Cost of a fire by {what}" in drawn


def test_the_benchmark_of_workers_yields_finite_ratios(tmp_path):
    found = run_tiny("workers", tmp_path, JOINS_REDIS=empty_database())

    check(found)
    assert found["rows"]


def test_the_benchmark_of_photos_yields_finite_ratios(tmp_path):
    written = tmp_path / "photos.json"
    sizes = ["--photos", "3", "--rounds", "2", "--json", str(written)]
    subprocess.run(
        [sys.executable, str(SUITE.with_name("photos.py")), *sizes],
        check=True,
        capture_output=True,
        env={**os.environ, "PYTHONUTF8": "1", "JOINS_REDIS": empty_database()},
        timeout=DEADLINE_SECONDS,
    )

    ratios = json.loads(written.read_text("utf-8"))["ratios"]
    assert {"chord", "SQLite"} < set(ratios)
    assert all(math.isfinite(ratio["median"]) for ratio in ratios.values())


def test_an_unknown_benchmark_is_refused_with_the_names_of_those_that_are(tmp_path):
    done = subprocess.run(
        [sys.executable, str(SUITE), "fires"], check=False, capture_output=True, encoding="utf-8"
    )

    assert done.returncode == 2
    assert "no benchmark is called 'fires'; there are fire, growth" in done.stderr


LOG = """session,trigger,amount
permit 1,paid,40
permit 2,paid,12
permit 2,asked,12
permit 1,asked,40
"""
PERMITS = {
    "decide": {"after": ["paid", "asked"], "run": "permits.decide"},
    "archive": {"after": ["decide"], "run": "permits.archive"},
}


@pytest.mark.parametrize("only", ["memory, threads", "SQLite, threads", "SQLite, Celery on Redis"])
@pytest.mark.parametrize("archived", [2, 3])
def test_a_replayed_log_is_told_from_one_that_ends_otherwise(tmp_path, only, archived):
    (tmp_path / "permits.csv").write_text(LOG)
    (tmp_path / "permits.json").write_text(json.dumps(PERMITS))
    expected = {"decide": {"finished": 2}, "archive": {"finished": archived}}
    (tmp_path / "permits.expected.json").write_text(json.dumps({"instances": expected}))

    done = subprocess.run(
        [sys.executable, str(SUITE.with_name("permits.py")), str(tmp_path), "--only", only],
        check=False,
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONUTF8": "1", "JOINS_REDIS": empty_database()},
        timeout=DEADLINE_SECONDS,
    )

    assert done.returncode == (0 if archived == 2 else 1), done.stderr
    assert only in done.stdout
    assert ("not as" in done.stderr) == (archived != 2)


def empty_database():
    """Return the URL of a Redis database with nothing in it, which the benchmark may fill."""
    try:
        for number in DATABASES:
            url = f"{REDIS}/{number}"
            if not redis.Redis.from_url(url).dbsize():
                return url
    except redis.RedisError as error:
        message = f"no Redis ({error}); start one at {REDIS}"
        pytest.fail(message) if os.environ.get("CI") == "true" else pytest.skip(message)
    pytest.skip(f"no database of {REDIS} is empty")
