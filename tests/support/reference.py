"""The oracle: Hugging Face transformers with plain forward hooks, one text, no cache."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file

#: Two tokens whose logits are nearer than this may swap between correct implementations.
TIE = 1e-3


@dataclass(frozen=True)
class Addition:
    """A vector that is added to the stream after a layer, where `scope(position)` holds."""

    site: int
    vector: np.ndarray
    scope: Callable[[int], bool] = lambda position: True


@dataclass(frozen=True)
class Pass:
    """One pass over a text: logits [n, vocabulary]; rows [n, K, 2] and stream norms [n]."""

    logits: np.ndarray
    rows: np.ndarray
    norms: np.ndarray


class Reference:
    """The bundled model in float32.

    Args:
        model: its folder.
        pack: folder of the pack, read here without the server's loader.
        readout_site: site of `Pass.rows`.
    """

    def __init__(self, model: Path, pack: Path, names: list[str], readout_site: int) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self.model = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
        self.tokenizer = AutoTokenizer.from_pretrained(model)
        tensors = load_file(pack / "tensors.safetensors")
        self.vectors = tensors["vectors"].astype(np.float64)
        self.residual_norms = tensors["residual_norms"].astype(np.float64)
        self.index = {name: i for i, name in enumerate(names)}
        self.readout_site = readout_site

    def unit(self, concept: str, site: int) -> np.ndarray:
        """The concept's unit direction at a site, float64."""
        v = self.vectors[self.index[concept], site]
        return v / np.linalg.norm(v)

    def residual(self, concept: str, site: int, strength: float) -> np.ndarray:
        """The vector that RESIDUAL strength adds."""
        return strength * self.residual_norms[site] * self.unit(concept, site)

    def run(self, ids: list[int], additions: list[Addition] = ()) -> Pass:
        """One pass over ids with the additions in place."""
        units = np.stack([self.unit(c, self.readout_site) for c in self.index])
        units_t = torch.from_numpy(units.astype(np.float32)).T
        kept: dict[str, torch.Tensor] = {}

        def hook_for(site: int) -> Callable[..., object]:
            here = [a for a in additions if a.site == site]

            def hook(module: object, args: object, output: object) -> object:
                is_tuple = isinstance(output, tuple)
                x = output[0] if is_tuple else output
                before = x[0] @ units_t
                x = x.clone()
                for addition in here:
                    rows = [p for p in range(len(ids)) if addition.scope(p)]
                    x[0, rows] += torch.from_numpy(addition.vector.astype(np.float32))
                if site == self.readout_site:
                    kept["rows"] = torch.stack([before, x[0] @ units_t], dim=-1)
                    kept["norms"] = x[0].norm(dim=1)
                return (x, *output[1:]) if is_tuple else x

            return hook

        layers = self.model.model.layers
        handles = [
            layers[site].register_forward_hook(hook_for(site))
            for site in {a.site for a in additions} | {self.readout_site}
        ]
        try:
            with torch.inference_mode():
                logits = self.model(torch.tensor([ids]), use_cache=False).logits[0]
        finally:
            for handle in handles:
                handle.remove()
        return Pass(logits.numpy(), kept["rows"].numpy(), kept["norms"].numpy())

    def first_wrong_token(
        self, prompt: list[int], generated: list[int], additions: list[Addition] = ()
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
        self, prompt: list[int], a: list[int], b: list[int], additions: list[Addition] = ()
    ) -> bool:
        """Whether two generations are equal up to a tie at their first difference."""
        i = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), None)
        if i is None:
            return len(a) == len(b)
        at = self.run(prompt + a[:i], additions).logits[-1]
        return bool(abs(at[a[i]] - at[b[i]]) < TIE and at.max() - at[a[i]] < TIE)
