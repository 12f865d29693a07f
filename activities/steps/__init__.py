"""The effects, one module for each step kind that acts; they are found by being here."""
