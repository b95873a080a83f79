"""What the checks of storages keep, and how long they wait."""

from __future__ import annotations

from dataclasses import replace

from triggers_core import Closing, Configuration, Status, TaskInstance

DEADLINE_SECONDS = 30.0
"""Within which another thread or process must be done; only a storage that hangs needs it."""

DAY_SECONDS = 86_400.0

THREADS = 8

TURNS = 25
"""Transactions of each thread, where threads compete."""

SESSION = "session"

MANAGER = "manager"

CONFIGURATION = Configuration.parse({"t_task": {"after": ["a", "b"], "run": "app.task"}})

OTHER_CONFIGURATION = Configuration.parse(
    {
        "t_täsk": {
            "after": ["å"],
            "andEvery": "a",
            "unless": ["b"],
            "run": "app.other",
            "withParams": {"å": {"text": "\N{SNOWMAN}\ud800", "deep": {"list": [1, None]}}},
            "priority": 3,
        }
    }
)

EVERY_FIELD = TaskInstance(
    session_uid=SESSION,
    task_name="t_task",
    number=7,
    config_digest=CONFIGURATION.digest,
    status=Status.UNSTARTED,
    created_at=1_700_000_000.25,
    changed_at=1_700_000_001.5,
    attempt=2,
    parent="t_task#6",
    trigger_kwargs={"a": {"amount": 3, "tags": ["x"]}},
    counts={"a": 3},
    waits_for=frozenset({"b"}),
    not_before=1_700_000_002.75,
    recover_at=1_700_000_003.125,
    reruns_left=4,
    metadata={"result": {"ok": True}, "logs": [{"level": "ERROR", "message": "…"}]},
)
"""An instance in which no field has its default."""

CLOSING = Closing("cancelled", 1_700_000_004.625, reason="The applicant's \N{SNOWMAN}", by="Zoë")

JSON_VALUES = {
    "none": None,
    "booleans and the numbers like them": [True, 1, 1.0, False, 0, 0.0],
    "big integers": [2**63, -(2**63) - 1, 2**200],
    "floats": [0.1, -0.0, 5e-324, 1.7976931348623157e308, 1e16],
    "unicode": "Zoë \N{SNOWMAN} \N{PILE OF POO} e\N{COMBINING ACUTE ACCENT}",
    "control characters": "\x00\x01\r\n\t\x7f\u2028",
    "lone surrogates": "\ud800 \udfff",
    "quotes": "'\"`; DROP TABLE instances; -- %s ? :name {} \\",
    "empty containers": [{}, [], "", {"": {"": []}}],
    "long text": "x" * 1_000_000,
}

RUNNING = replace(EVERY_FIELD, number=8, status=Status.RUNNING, waits_for=frozenset())
