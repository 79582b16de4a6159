"""Hooks, replies and the choice of a steering site, on a tiny model with random weights."""

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from vagus_server.packs.activations import LanguageModel, text_means
from vagus_server.packs.replies import Addition, write_replies
from vagus_server.packs.scenarios import assess_scenarios
from vagus_server.packs.steering_sweep import Bounds, SitePoint, best, sweep

LAYERS, HIDDEN, VOCABULARY = 3, 16, 50


class Letters:
    """A tokenizer: one token per character, and a chat template of one sign."""

    def __call__(self, text: str, **_: object) -> dict[str, list[int]]:
        return {"input_ids": [3 + ord(sign) % (VOCABULARY - 3) for sign in text]}

    def apply_chat_template(self, messages: list[dict[str, str]], **_: object) -> str:
        return messages[0]["content"] + ">"


@pytest.fixture(scope="module")
def lm() -> LanguageModel:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=HIDDEN,
        intermediate_size=32,
        num_hidden_layers=LAYERS,
        num_attention_heads=2,
        num_key_value_heads=1,
        initializer_range=0.5,
        eos_token_id=2,
        bos_token_id=1,
    )
    return LanguageModel(LlamaForCausalLM(config).eval(), Letters())


def test_a_site_is_the_output_of_its_layer(lm: LanguageModel) -> None:
    tokens = lm.encode("a quiet morning")
    residuals = lm.residuals(tokens)
    assert residuals.shape == (LAYERS, len(tokens), HIDDEN)
    output = lm.model(input_ids=torch.tensor([tokens]), output_hidden_states=True)
    # The last of transformers' hidden states is normed; the one that the norm reads is ours.
    for site in range(LAYERS - 1):
        torch.testing.assert_close(residuals[site], output.hidden_states[site + 1][0])
    torch.testing.assert_close(lm.model.model.norm(residuals[-1]), output.hidden_states[-1][0])
    again, log_probabilities = lm.read(tokens)
    assert torch.equal(again, residuals)
    torch.testing.assert_close(log_probabilities, output.logits[0].log_softmax(dim=-1))


def test_hooks_do_not_stay(lm: LanguageModel) -> None:
    # transformers hooks the layers too, once it is asked for hidden states.
    before = [len(layer._forward_hooks) for layer in lm.layers]
    lm.residuals([5, 6])
    write_replies(lm, [[5, 6]], 2, addition=Addition(1, torch.ones(1, HIDDEN)))
    assert [len(layer._forward_hooks) for layer in lm.layers] == before


def test_means_begin_where_they_should(lm: LanguageModel) -> None:
    texts = ["one two three", "four five six seven"]
    means = text_means(lm, texts, 4)
    for text, mean in zip(texts, means, strict=True):
        expected = lm.residuals(lm.encode(text))[:, 4:].double().mean(dim=1).numpy()
        np.testing.assert_allclose(mean, expected, atol=1e-5)
    with pytest.raises(ValueError, match="a text has 3 tokens; the mean begins after 4"):
        text_means(lm, ["one"], 4)


def test_padding_does_not_change_a_reply(lm: LanguageModel) -> None:
    prompts = [lm.encode_chat("hello"), lm.encode_chat("a much longer question")]
    together = write_replies(lm, prompts, 8)
    assert together == [write_replies(lm, [prompt], 8)[0] for prompt in prompts]
    assert all(2 not in reply and len(reply) <= 8 for reply in together)


def test_sampling_repeats_and_leaves_the_global_generator(lm: LanguageModel) -> None:
    state = torch.get_rng_state()
    prompts = [lm.encode_chat("hello")]
    first = write_replies(lm, prompts, 12, temperature=1.0, seed=4)
    assert first == write_replies(lm, prompts, 12, temperature=1.0, seed=4)
    assert first != write_replies(lm, prompts, 12, temperature=1.0, seed=5)
    assert torch.equal(torch.get_rng_state(), state)


def test_an_addition_is_each_prompt_s_own(lm: LanguageModel) -> None:
    prompt = lm.encode_chat("hello")
    plain = write_replies(lm, [prompt], 8)[0]
    vectors = torch.zeros(2, HIDDEN)
    vectors[1] = torch.linspace(-1e4, 1e4, HIDDEN)
    untouched, pushed = write_replies(lm, [prompt] * 2, 8, addition=Addition(2, vectors))
    assert untouched == plain
    # So large an addition at the last site leaves one token to say.
    with torch.inference_mode():
        forced = int(lm.model.lm_head(lm.model.model.norm(vectors[1])).argmax())
    assert set(pushed) == {forced}


def test_the_sweep_measures_every_site(lm: LanguageModel) -> None:
    direction = np.ones((LAYERS, HIDDEN)) / np.sqrt(HIDDEN)
    arguments = (["hello", "good day"], {"calm": direction}, {"calm": 1.0}, np.ones(LAYERS))
    points = sweep(lm, *arguments, readout_site=1, sites=[0, 1], seed=0)
    assert [point.site for point in points] == [0, 1]
    assert points == sweep(lm, *arguments, readout_site=1, sites=[0, 1], seed=0)


def test_the_best_site_is_coherent_and_not_below_the_readout() -> None:
    def point(site: int, lift: float, perplexity: float = 2.0, distinct: float = 1.0) -> SitePoint:
        return SitePoint(site, {"calm": lift}, 0.1, perplexity, 1.5, distinct)

    points = [point(4, 1.0), point(5, 2.0, perplexity=9.0), point(6, 3.0, distinct=0.5)]
    assert best([*points, point(9, 4.0)], Bounds(last_site=8)) == 4
    with pytest.raises(ValueError, match="no candidate site keeps the text coherent"):
        best(points[1:], Bounds(last_site=8))


def test_scenarios_are_ranked_at_the_site() -> None:
    units = np.eye(4)[:, None, :]
    means = np.eye(4)[[0, 1, 2, 2]][:, None, :]
    zeros, ones = np.zeros((4, 1)), np.ones((4, 1))
    facts = assess_scenarios(means, np.arange(4), units, zeros, ones, 0)
    assert facts["scenarios_z_scores"] == "top-1 75 %, top-5 100 %, mean rank 1.2 of 4"
