"""Joins on Celery workers: against bare tasks and against chords, by ``celery_joins.py``."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import redis
from measure import Row, Scale, Skipped, Target, quartiles

REDIS_VARIABLE = "JOINS_REDIS"
REDIS = os.environ.get(REDIS_VARIABLE, "redis://127.0.0.1:6379/9")
SCRIPT = Path(__file__).with_name("celery_joins.py")
COUNT, ROUNDS = 100, 5
TINY_COUNT = 6
DEADLINE_SECONDS = 120


def subjects(scale: Scale) -> Iterator[Row | Skipped]:
    try:
        redis.Redis.from_url(REDIS).ping()
    except redis.RedisError as error:
        yield Skipped("Celery", f"no Redis ({error}); start one, or name it in {REDIS_VARIABLE}")
        return
    count = TINY_COUNT if scale.is_tiny else COUNT
    results = scale.folder / "celery_joins.json"
    sizes = ["--count", str(count), "--rounds", str(scale.count(ROUNDS))]
    command = [sys.executable, str(SCRIPT), *sizes, "--json", str(results)]
    script = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        _, complaints = script.communicate(timeout=DEADLINE_SECONDS)
    except subprocess.TimeoutExpired:
        script.send_signal(signal.SIGINT)  # so that it stops its worker, and empties its database
        script.communicate()
        yield Skipped("Celery", f"it took over {DEADLINE_SECONDS} s; see {SCRIPT.name}")
        return
    if script.returncode:
        yield Skipped("Celery", complaints.strip().splitlines()[-1])
        return
    found = json.loads(results.read_text("utf-8"))
    yield from rows(found)
    yield from latencies(found["latency"])


def rows(found: dict) -> Iterator[Row]:
    rates = found["rates_per_s"]
    for pair in found["ratios"]:
        side, base = pair["side"], pair["base"]
        ratios = [each[side]["per_s"] / each[base]["per_s"] for each in found["rounds"]]
        lower, median, upper = quartiles(ratios)
        target = None if pair["target"] is None else Target(at_least=pair["target"])
        yield Row(
            subject="Celery",
            name=pair["name"],
            candidate=f"{rates[side]['median']:,.0f} /s",
            baseline=f"{rates[base]['median']:,.0f} /s",
            lower=lower,
            median=median,
            upper=upper,
            target="" if target is None else str(target),
            is_met=None if target is None else target.is_met_by(median),
            ratios=tuple(ratios),
        )


def latencies(found: dict) -> Iterator[Row]:
    """Yield a row for each percentile; it has no spread, being taken of all rounds at once."""
    base, ours = found.values()
    for percentile in ("p50", "p99"):
        own, bare = ours[f"{percentile}_ms"], base[f"{percentile}_ms"]
        ratio = own / bare
        yield Row(
            subject="Celery",
            name=f"from the last fire to the start / from delay, {percentile}",
            candidate=f"{own:.1f} ms",
            baseline=f"{bare:.1f} ms",
            lower=ratio,
            median=ratio,
            upper=ratio,
            target="",
            is_met=None,
            ratios=(ratio,),
        )
