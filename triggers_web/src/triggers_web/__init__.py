"""Sessions of triggers in a browser: ``triggers web`` starts it, :mod:`triggers_web.app` is it."""
