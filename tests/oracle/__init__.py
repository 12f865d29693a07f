"""The oracle: what must come of what was asked, in plain Python.

No Temporal, no database, and nothing of Onward's own code.
"""
