"""Random numbers of seeded requests on a CPU, with what vLLM's V1 runner needs of them.

A prompt that is processed in parts is sampled after each part, and what was drawn for it is taken
back: the runner sets the generator's offset back, which a CPU's generator does not have. Without
these one seeded prompt in parts ends the engine.
"""

from typing import Any

import torch


class CpuGenerator(torch.Generator):
    """A CPU generator whose last draw can be taken back."""

    def before_draw(self) -> None:
        """To be called before numbers may be drawn."""
        self._before = self.get_state()

    def get_offset(self) -> int:
        """Stands for the state: vLLM asks for it only to go back."""
        return 0

    def set_offset(self, _offset: int) -> torch.Generator:
        """Takes back what was drawn since `before_draw`."""
        return self.set_state(self._before)


def prepare_draws(runner: Any) -> None:
    """Makes the generators of a V1 runner's batch ready for the next sampling.

    Args:
        runner: vLLM's; its `input_batch.generators` hold what `requests` hold, by row.
    """
    batch = runner.input_batch
    for row, generator in batch.generators.items():
        if not isinstance(generator, CpuGenerator):
            state = generator.get_state()
            generator = CpuGenerator()
            generator.set_state(state)
            # Both: a preempted request is entered anew from `requests`.
            batch.generators[row] = generator
            runner.requests[batch.req_ids[row]].generator = generator
        generator.before_draw()
