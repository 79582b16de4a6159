"""Gathers the token-level traffic that norms and reference statistics are measured on.

Chat traffic is on-policy: the model answers the corpus's prompts in its own chat template, and
each prompt with its reply is read again in one piece. Norms differ between positions (paper,
section 9, trap 2), so prompt and generated positions are kept apart.
"""

from dataclasses import dataclass

from vagus_server.packs.activations import TEXT_START, LanguageModel
from vagus_server.packs.moments import Moments
from vagus_server.packs.replies import write_replies

REPLY_TOKENS = 60


@dataclass(frozen=True)
class Traffic:
    """Moments of the residual stream by kind of position; position 0 is in none of them."""

    neutral: Moments
    chat_prompt: Moments
    chat_reply: Moments

    @property
    def reference(self) -> Moments:
        """All of it, the population that z-scores refer to."""
        return self.neutral + self.chat_prompt + self.chat_reply


def gather_traffic(lm: LanguageModel, neutral: list[str], prompts: list[str], seed: int) -> Traffic:
    """Reads the neutral texts, and the prompts with the replies sampled at temperature 1.

    Args:
        neutral: plain texts.
        prompts: user turns.
        seed: of the replies.
    """
    shape = len(lm.layers), lm.hidden_size
    traffic = Traffic(Moments(*shape), Moments(*shape), Moments(*shape))
    for text in neutral:
        traffic.neutral.add(lm.residuals(lm.encode(text))[:, TEXT_START:])
    asked = [lm.encode_chat(prompt) for prompt in prompts]
    replies = write_replies(lm, asked, REPLY_TOKENS, temperature=1.0, seed=seed)
    for prompt, reply in zip(asked, replies, strict=True):
        residuals = lm.residuals(prompt + reply)
        traffic.chat_prompt.add(residuals[:, TEXT_START : len(prompt)])
        traffic.chat_reply.add(residuals[:, len(prompt) :])
    return traffic
