"""What is right: names, kwargs, configurations, instances and the join rules. Pure.

Imports nothing of the project but ``errors``; everything may import from here.
"""
