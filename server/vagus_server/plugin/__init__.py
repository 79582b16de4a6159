"""What runs inside vLLM: the worker, the scheduler, and what they say to the frontend."""
