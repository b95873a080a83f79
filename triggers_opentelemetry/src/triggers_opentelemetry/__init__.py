"""OpenTelemetry traces of triggers: one from a fire through every task that follows from it.

Installed, it is in use: there is nothing to import. :mod:`triggers_opentelemetry.hooks` has the
hookimpls, :mod:`triggers_opentelemetry.carrying` what brings a trace from where an instance is
dispatched to where it runs.
"""
