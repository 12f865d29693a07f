"""Segment's HTTP spec (V6): its messages brought to contacts and events. Not the segments of contacts: those are a
rule or a list by hand (`processes/rules.py`).
"""
