"""The application under test, which a worker imports as ``-A traced``: an ordinary Celery app that
writes its spans, one line of JSON each, to a file. The environment says where.
"""

import json
import os

from celery import Celery
from celery.signals import worker_process_init, worker_ready
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

from triggers_celery import CeleryTriggerTask

app = Celery("traced")
app.conf.update(json.loads(os.environ["TRACED_SETTINGS"]))


@worker_process_init.connect
def set_up_tracing(**_):
    spans = open(os.environ["TRACED_SPANS"], "a", buffering=1)  # noqa: SIM115 - as long as we live
    exporter = ConsoleSpanExporter(out=spans, formatter=lambda span: span.to_json(None) + "\n")
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)


@worker_ready.connect
def tell_that_it_is_ready(**_):
    with os.fdopen(int(os.environ["TRACED_READY"]), "w") as ready:
        ready.write("ready")


@app.task(base=CeleryTriggerTask, shared=False, bind=True)
def ship(self, context):
    if context.attempt == 1:
        self.retry(countdown=1.5)


@app.task(base=CeleryTriggerTask, shared=False)
def tell(context):
    return {"process": os.getpid()}
