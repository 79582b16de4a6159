"""The engine: vLLM, started with the plugin, and what the services ask of it."""
