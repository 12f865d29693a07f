"""What `onward dev` and `onward demo` run beside our own code: a Temporal server, a catcher for mail, and a parent that
starts all parts, restarts those that die and leaves nothing behind. Nothing of this runs in production.
"""
