"""Who comes from triggers 2 finds every public name of it in the guide."""

import re
from pathlib import Path

import pytest

GUIDE = Path(__file__).parents[1] / "docs" / "moving.md"
NAMES = """
TriggerManager trigger_managers triggers__registry_key default_task_runner_name
update_configuration fire skip_failed_instance replay_failed_instance update_instance_metadata
update_instance_status mark_instance_logs_resolved _post_fire _post_replay _post_skip
TaskConfig after_sorted unless_sorted uses_trigger serialize extras
TaskInstance can_schedule can_skip can_replay can_abandon can_run cooldown depth is_resolved
last_modified log_level log_level_name logs_relevant logs_resolved apply_trigger
LOG_LEVEL_THRESHOLD STATUS_UNSTARTED META_ACTUAL_KWARGS META_ACTUAL_SHARD META_COOLDOWN META_DEPTH
META_EXCEPTION_ META_EXCEPTION_CONTEXT META_LOG_LEVEL META_LOGS_RESOLVED META_PARENT META_RESULT
META_TIMESTAMPS TIMESTAMP_CREATED TIMESTAMP_LAST_MODIFIED
MaxRetriesExceeded Retry StatusChange TaskContext TriggerTask task_body
task_instance get_logger_context filter_kwargs trigger_kwargs _run skip retry cleanup_thread
BaseTaskRunner CeleryTaskRunner DEFAULT_TASK_RUNNER ThreadingTaskRunner autodiscover_celery_tasks
resolve_celery_task task_runners join_all resolve allow_python_path_target
BaseTriggerStorage TaskInstanceCollection storage_backends CacheStorageBackend
_load_from_backend _load_default_configuration _save tasks instances latest_kwargs metadata
acquire_lock get_instances_with_unresolved_logs get_unresolved_tasks get_unresolved_instances
iter_instances clone_instance create_instance instances_of_task close save invalidate_cache
debug_repr Lockable LockAcquisitionFailed NotSupported resolve_cache get_lock_name
get_lock_backend has_lock
DevNullTask FailingTask PassThruTask SelfRetryingTask SelfSkippingTask
TriggerManagerTestCaseMixin name_matches_classpath assertInstanceFinished
with_context AttrPatcher BasePatcher merge_dict merge_dict_recursive dl
LogLevelHandler MemoryHandler LocalLogger LoggerAdapter
triggers.managers triggers.runners triggers.storages
"""
"""What its modules export, what is public of the classes that they export, its entry points."""


@pytest.mark.parametrize("name", NAMES.split())
def test_a_name_of_triggers_2_has_its_row(name):
    section = GUIDE.read_text("utf-8").partition("## From triggers 2")[2]
    rows = re.findall(r"^\| (.+?) \| ", section, re.MULTILINE)

    assert any(re.search(rf"(?<![A-Za-z]){re.escape(name)}(?![A-Za-z])", row) for row in rows)
