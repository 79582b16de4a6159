"""The site operation on a CPU with one tensor for all tables of its site.

Fifteen tables an operation, at thirty sites, cost a compiled model as much time for passing them
as its norms take, and at nearly every site nothing is to be done. Here `site` stands for them: it
holds the number under which they are found, and being declared as written, it keeps compilers
from dropping or moving the operation for what that writes to the others.
"""

from itertools import count
from weakref import WeakValueDictionary

from torch import Tensor

from vagus_kernels.layout import SiteTables
from vagus_kernels.reference import steer_and_read

_NUMBER = 2


class Held:
    """Tables that have a number for as long as this lives.

    Args:
        tables: of one site, on the CPU; the number is written to their `site`.
    """

    def __init__(self, tables: SiteTables) -> None:
        self.tables = tables
        number = next(_numbers)
        tables.site[_NUMBER] = number
        _held[number] = self


_numbers = count(1)
_held: WeakValueDictionary[int, Held] = WeakValueDictionary()


def steer_read_at_(stream: Tensor, addend: Tensor | None, site: Tensor) -> None:
    """`reference.steer_read_` with the tables that are held under the site's number.

    Raises:
        KeyError: none are; the pass fails.
    """
    steering, reading, number, _ = site.tolist()
    # Most calls end here, with every cache full of weights: the less is touched, the better.
    if steering or reading:
        steer_and_read(stream, addend, _held[number].tables, steering, reading)
