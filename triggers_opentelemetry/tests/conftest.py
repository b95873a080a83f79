"""Every span of this process, and the plugins of a session whose tasks run in threads."""

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

_exporter = InMemorySpanExporter()


@pytest.fixture(scope="session")
def provider():
    """Give the SDK's provider. OpenTelemetry lets a process have one, once."""
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(_exporter))
    trace.set_tracer_provider(provider)
    return provider


@pytest.fixture
def spans(provider):
    """Return a function that gives the spans ended in this process since the test began."""
    _exporter.clear()
    return _exporter.get_finished_spans


class Traces:
    """Spans as their readers see them: a span's name, and the path of names that leads to it."""

    def __init__(self, spans):
        self.spans = list(spans)
        self._by_id = {span.context.span_id: span for span in self.spans}

    @property
    def ids(self):
        return {span.context.trace_id for span in self.spans}

    def paths(self):
        """Return each span's path: the names from the root to it, sorted."""
        return sorted(" > ".join(self._names(span)) for span in self.spans)

    def named(self, name):
        """Return the one span of that name."""
        (found,) = (span for span in self.spans if span.name == name)
        return found

    def _names(self, span):
        parent = span.parent and self._by_id[span.parent.span_id]
        return [*(self._names(parent) if parent else []), span.name]


@pytest.fixture
def traces():
    return Traces
