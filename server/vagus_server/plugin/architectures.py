"""Architectures whose residual stream Vagus knows, and some whose stream it cannot steer."""

#: Every one is served by tests against transformers with hooks: see docs/models.md.
ARCHITECTURES = frozenset(
    {
        "FalconForCausalLM",
        "GPT2LMHeadModel",
        "GPTNeoXForCausalLM",
        "Gemma2ForCausalLM",
        "Gemma3ForCausalLM",
        "GraniteForCausalLM",
        "LlamaForCausalLM",
        "MistralForCausalLM",
        "MixtralForCausalLM",
        "Olmo2ForCausalLM",
        "Phi3ForCausalLM",
        "Qwen2ForCausalLM",
        "Qwen3ForCausalLM",
        "Qwen3MoeForCausalLM",
    }
)

_SEVERAL = "keeps several residual streams (hyper-connections), and a site would be no one of them"
_COPIES = "keeps alternately updated copies of its residual stream (AltUp)"
_SUMS = "carries sums of earlier layers beside its residual stream"
_LATE = "adds a layer's output to its residual stream within the next layer"

#: Architectures that have no single residual stream between layers, and what they have.
NO_SINGLE_STREAM = {
    "DeepseekV4ForCausalLM": _SEVERAL,
    "DeepseekV41ForCausalLM": _SEVERAL,
    "Glm5NextForCausalLM": _SEVERAL,
    "Glm5NextForConditionalGeneration": _SEVERAL,
    "HYV4ForCausalLM": _SEVERAL,
    "Qwen4ExpForCausalLM": _SEVERAL,
    "Qwen4ExpForConditionalGeneration": _SEVERAL,
    "Gemma3nForCausalLM": _COPIES,
    "Gemma3nForConditionalGeneration": _COPIES,
    "KimiK3ForConditionalGeneration": _SUMS,
    "KimiLinearForCausalLM": _SUMS,
    "InklingForCausalLM": _LATE,
    "InklingForConditionalGeneration": _LATE,
}
