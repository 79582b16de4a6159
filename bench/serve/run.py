"""Starts the serving benchmark: `python bench/serve/run.py --help`.

What distinct programs cost, each request with one of its own, at 1 to 256 at once; the KV cache
holds all of them, so that none is preempted:

    python bench/serve/run.py --modes engine-steered-distinct,server-steered-distinct \\
        --batch 1,16,64,256 --max-running 256 --kv-cache-gib 2

What 16 policies cost that watch every request, without and with steering, against none:

    python bench/serve/run.py --modes engine-idle,engine-policies-tell,engine-policies-steer

What such pairs say of two stock engines, which is what of a difference is not Vagus's:

    python bench/serve/run.py --modes stock-again

What steering adds to an engine that is otherwise the same, by turns within one:

    python bench/serve/run.py --against vagus --modes engine-steered,engine-steered-read

Our gRPC server against vLLM's OpenAI server:

    python bench/serve/run.py --against openai --modes server-idle,server-steered-read \\
        --batch 1,8,64

Only `bench` is made importable. With the repository's root on the path, its folder `kernels`
would stand for the package of that name that transformers looks for.
"""

import sys
from pathlib import Path
from types import ModuleType

# Processes that multiprocessing spawns run this file's top level again.
if "bench" not in sys.modules:
    package = ModuleType("bench")
    package.__path__ = [str(Path(__file__).resolve().parents[1])]
    sys.modules["bench"] = package

    from bench.serve.memory import lock

    lock()

if __name__ == "__main__":
    from bench.serve.cli import main

    sys.exit(main())
