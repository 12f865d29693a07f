"""The steps from each schema to the next. `python -m store.migrations "what changes"` writes the next one."""
