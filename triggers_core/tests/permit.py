"""A permit's case, which tests of commands look at and act on."""

from triggers_core import trigger_task

CONFIGURATION = {
    "t_close": {"after": ["applied", "fee_paid"], "unless": ["withdrawn"], "run": "close"},
    "t_archive": {"after": ["t_close"], "run": "archive"},
}


@trigger_task
def close(context):
    return {"closed": True}


@trigger_task
def break_down(context):
    raise RuntimeError("the register is down [503]")
