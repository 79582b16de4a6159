"""Text coloured by z-score, on a scale from blue over grey to red; and by severity."""

from collections.abc import Iterator

from rich.color import Color
from rich.style import Style
from rich.text import Text

from vagus._result import Event, Token

SATURATION_Z = 3.0
"""The z-score at which the scale ends, on both sides."""

_BLUE, _GREY, _RED = (70, 130, 255), (150, 150, 150), (255, 70, 60)
_SEVERITIES = {
    "info": Style(color="cyan"),
    "warning": Style(color="yellow"),
    "critical": Style(color="red", bold=True),
}
# A model may write escape sequences; a terminal must not obey them.
_CONTROLS = {code: "\ufffd" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}


def z_style(z: float | None) -> Style:
    """The colour of a z-score; None has none."""
    if z is None:
        return Style.null()
    end, share = (_RED if z > 0 else _BLUE), min(abs(z) / SATURATION_Z, 1.0)
    rgb = (grey + (colour - grey) * share for grey, colour in zip(_GREY, end, strict=True))
    return Style(color=Color.from_rgb(*map(round, rgb)))


def severity_style(severity: str) -> Style:
    """The colour of a policy's severity; an unknown one has none."""
    return _SEVERITIES.get(severity, Style.null())


def colored(text: str, z: float | None) -> Text:
    """Text that a terminal can show safely, in the colour of a z-score."""
    return Text(text.translate(_CONTROLS), z_style(z))


class Painter:
    """Gives the pieces of a stream's text the z-scores of one concept.

    Text lags behind its tokens where a character or a stop string is unfinished. A piece then
    stands for several tokens: for each apart where their texts add up to it, else for their mean.
    """

    def __init__(self, concept: str | None) -> None:
        self._concept = concept
        self._pending: list[Token] = []

    def pieces(self, event: Event) -> Iterator[tuple[str, float | None]]:
        """The event's text in pieces, each with its z-score."""
        self._pending += event.tokens
        if not event.text:
            return
        tokens, self._pending = self._pending, []
        if "".join(token.text for token in tokens) == event.text:
            yield from ((token.text, self._z(token)) for token in tokens)
        else:
            scores = [z for token in tokens if (z := self._z(token)) is not None]
            yield event.text, sum(scores) / len(scores) if scores else None

    def _z(self, token: Token) -> float | None:
        if self._concept is None or token.readout is None:
            return None
        return token.readout.z.get(self._concept)
