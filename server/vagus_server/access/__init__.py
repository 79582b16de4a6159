"""Who may call, what, how much of it, and the record of it."""
