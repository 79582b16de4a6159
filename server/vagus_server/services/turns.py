"""Long work on the event loop, in parts between which others have their turn."""

import asyncio

#: Rows of readouts that are rendered in one turn: a few milliseconds.
ROWS_A_TURN = 128


async def after_row(done: int) -> None:
    """Lets others have their turn when enough rows are done since they had the last."""
    if done % ROWS_A_TURN == 0:
        await asyncio.sleep(0)
