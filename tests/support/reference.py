"""The oracle: Hugging Face transformers with plain forward hooks, one text, no cache."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file

from support.slow import Concepts, SlowCourse, SlowProgram
from vagus.v1 import steering_pb2

#: Two tokens whose logits are nearer than this may swap between correct implementations.
TIE = 1e-3


@dataclass(frozen=True)
class Addition:
    """A vector that is added to the stream after a layer, where `scope(position)` holds."""

    site: int
    vector: np.ndarray
    scope: Callable[[int], bool] = lambda position: True


class Additions:
    """Additions as a program."""

    def __init__(self, additions: Sequence[Addition]) -> None:
        self._additions = additions
        self.sites = {addition.site for addition in additions}

    def restart(self) -> None:
        """Nothing is remembered."""

    def apply(self, site: int, x: np.ndarray) -> np.ndarray:
        """Adds what is in scope."""
        x = x.copy()
        for addition in self._additions:
            if addition.site == site:
                rows = [p for p in range(len(x)) if addition.scope(p)]
                x[rows] += addition.vector.astype(np.float32)
        return x


#: What `Reference.run` steers by.
Steering = SlowProgram | SlowCourse | Additions | Sequence[Addition]


@dataclass(frozen=True)
class Pass:
    """One pass over a text: logits [n, vocabulary]; rows [n, K, 2] and stream norms [n]."""

    logits: np.ndarray
    rows: np.ndarray
    norms: np.ndarray


class Reference:
    """A model in float32, with plain attention.

    Args:
        model: its folder.
        tensors: the pack's.
        names: the pack's concepts, in the order of its tensors.
        readout_site: site of `Pass.rows`.
        steering_site: where operations act that name no site.
    """

    def __init__(
        self,
        model: Path,
        tensors: dict[str, np.ndarray],
        names: list[str],
        readout_site: int,
        steering_site: int,
    ) -> None:
        from transformers import AutoModelForCausalLM

        self.model = AutoModelForCausalLM.from_pretrained(
            model, dtype=torch.float32, attn_implementation="eager"
        )
        self.layers = _decoder_layers(self.model)
        self.vectors = tensors["vectors"].astype(np.float64)
        self.residual_norms = tensors["residual_norms"].astype(np.float64)
        self.index = {name: i for i, name in enumerate(names)}
        self.readout_site = readout_site
        self.concepts = Concepts(
            self.index,
            self.vectors,
            self.residual_norms,
            tensors["reference_mean"].astype(np.float64),
            tensors["reference_std"].astype(np.float64),
            steering_site,
        )

    @classmethod
    def load(
        cls, model: Path, pack: Path, names: list[str], readout_site: int, steering_site: int
    ) -> "Reference":
        """With the tokenizer, and the pack read without the server's loader."""
        from transformers import AutoTokenizer

        tensors = load_file(pack / "tensors.safetensors")
        reference = cls(model, tensors, names, readout_site, steering_site)
        reference.tokenizer = AutoTokenizer.from_pretrained(model)
        return reference

    tokenizer: Any = None

    def unit(self, concept: str, site: int) -> np.ndarray:
        """The concept's unit direction at a site, float64."""
        v = self.vectors[self.index[concept], site]
        return v / np.linalg.norm(v)

    def residual(self, concept: str, site: int, strength: float) -> np.ndarray:
        """The vector that RESIDUAL strength adds."""
        return strength * self.residual_norms[site] * self.unit(concept, site)

    def run(self, ids: list[int], steering: Steering = ()) -> Pass:
        """One pass over ids, steered."""
        program = Additions(steering) if isinstance(steering, Sequence) else steering
        program.restart()
        units = np.stack([self.unit(c, self.readout_site) for c in self.index])
        units = units.astype(np.float32)
        kept: dict[str, np.ndarray] = {}

        def hook_for(site: int) -> Callable[..., object]:
            def hook(module: object, args: object, output: object) -> object:
                is_tuple = isinstance(output, tuple)
                stream = output[0] if is_tuple else output
                before = stream[0].numpy()
                x = program.apply(site, before) if site in program.sites else before
                if site == self.readout_site:
                    kept["rows"] = np.stack([before @ units.T, x @ units.T], axis=-1)
                    kept["norms"] = np.linalg.norm(x, axis=1)
                moved = torch.from_numpy(x.astype(np.float32))[None]
                return (moved, *output[1:]) if is_tuple else moved

            return hook

        handles = [
            self.layers[site].register_forward_hook(hook_for(site))
            for site in program.sites | {self.readout_site}
        ]
        try:
            with torch.inference_mode():
                logits = self.model(torch.tensor([ids]), use_cache=False).logits[0]
        finally:
            for handle in handles:
                handle.remove()
        return Pass(logits.numpy(), kept["rows"], kept["norms"])

    def program(
        self, *operations: steering_pb2.Operation, prompt: list[int], text: str = ""
    ) -> SlowProgram:
        """A program on a prompt; `text` is what it was tokenised from, where scopes need that."""
        spans: list[tuple[int, int]] = []
        if text:
            encoded = self.tokenizer(text, return_offsets_mapping=True)
            assert encoded["input_ids"] == prompt
            spans = encoded["offset_mapping"]
        message = steering_pb2.Program(operations=operations)
        return SlowProgram(message, self.concepts, len(prompt), spans)

    def first_wrong_token(
        self, prompt: list[int], generated: list[int], additions: Steering = ()
    ) -> int | None:
        """Index of the first generated token that greedy decoding would not choose.

        Every token is judged on the prefix that was really there, so a tie that went the
        other way does not excuse what follows. None when all are right.
        """
        logits = self.run(prompt + generated, additions).logits
        for i, token in enumerate(generated):
            at = logits[len(prompt) - 1 + i]
            if at.max() - at[token] > TIE:
                return i
        return None

    def may_differ(
        self, prompt: list[int], a: list[int], b: list[int], additions: Steering = ()
    ) -> bool:
        """Whether two generations are equal up to a tie at their first difference."""
        i = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), None)
        if i is None:
            return len(a) == len(b)
        at = self.run(prompt + a[:i], additions).logits[-1]
        return bool(abs(at[a[i]] - at[b[i]]) < TIE and at.max() - at[a[i]] < TIE)


def _decoder_layers(model: Any) -> torch.nn.ModuleList:
    """The one list of as many modules as the model has layers."""
    lists = [m for m in model.modules() if isinstance(m, torch.nn.ModuleList)]
    (layers,) = (m for m in lists if len(m) == model.config.num_hidden_layers)
    return layers
