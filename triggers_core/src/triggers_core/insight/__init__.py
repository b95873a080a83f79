"""What a person wants to know: is this configuration right, how does this session stand, and why.

``diagnosis``, ``graph`` and ``lint`` stand on the rules alone, and are pure; ``viewing`` reads for
them. The command line and other views import from here.
"""
