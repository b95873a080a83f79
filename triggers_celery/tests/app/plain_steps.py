"""Steps that know nothing of Celery, and can be imported wherever they are to run."""

from pathlib import Path

from triggers_core import TriggerTask, trigger_task


@trigger_task(max_retries=2)
def try_again(context):
    if context.attempt < 3:
        context.retry(cooldown=0.3)
    return {"attempt": context.attempt}


@trigger_task
def fail(context):
    raise ZeroDivisionError("nothing to divide by")


@trigger_task
def leave(context):
    raise SystemExit(3)


class Pack(TriggerTask):
    """A step as a class."""

    def run(self, context):
        return {"packed": context.trigger_kwargs["go"].get("parcel")}


@trigger_task
def where(context):
    """Tell which worker runs it; this one line would know of Celery."""
    from celery import current_task  # noqa: PLC0415

    request = current_task.request
    return {"worker": request.hostname, "task": current_task.name, "shadow": request.shadow}


@trigger_task
def hang_once(context):
    """At the first attempt, say so, and wait to be killed."""
    if context.attempt == 1:
        Path(context.trigger_kwargs["go"]["started"]).touch()
        import signal  # noqa: PLC0415

        while True:
            signal.pause()
    return {"attempt": context.attempt}
