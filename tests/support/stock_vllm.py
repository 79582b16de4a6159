"""Stock vLLM without the plugin: reads prompts as JSON, prints greedy tokens as JSON.

usage: stock_vllm.py MODEL TOKENS [--max-model-len N] < prompts.json
"""

import json
import sys


def main() -> None:
    """Runs all prompts in one batch."""
    from vllm import LLM, SamplingParams

    model, tokens = sys.argv[1], int(sys.argv[2])
    length = int(sys.argv[4]) if len(sys.argv) > 4 else 1024
    llm = LLM(
        model=model,
        dtype="float32",
        max_model_len=length,
        max_num_seqs=8 if length == 512 else 64,
        max_num_batched_tokens=length,
        kv_cache_memory_bytes=2**29,
        block_size=32,
    )
    sampling = SamplingParams(temperature=0, max_tokens=tokens, ignore_eos=True)
    prompts = [{"prompt_token_ids": ids} for ids in json.load(sys.stdin)]
    outputs = llm.generate(prompts, sampling, use_tqdm=False)
    print(json.dumps([list(o.outputs[0].token_ids) for o in outputs]))  # noqa: T201


if __name__ == "__main__":
    main()
