"""Programs: from the request's message to what the device runs, and its receipt."""
