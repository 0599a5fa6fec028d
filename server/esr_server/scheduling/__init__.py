"""Who may run, when, and on which thread."""
