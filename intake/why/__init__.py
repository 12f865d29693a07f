"""Why (O10): what a contact went through in one process, decision by decision, each with its reason in words."""
