"""The worker's side: from a reference to a claimed instance, its task and its recorded end.

Stands on the engine, tasks and plugins; runners and ``recovery`` import from here.
"""
