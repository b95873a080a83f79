"""One change to a session: the rules applied in a transaction, then told and dispatched.

Stands on ``rules`` and ``storage``. It knows no plugin, runner or task, only the interface in
``extensions``; whatever is built on sessions may import from here.
"""
