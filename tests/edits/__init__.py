"""Editing a live process: what an edit is, and what becomes of who is inside."""
