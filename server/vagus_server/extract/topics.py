"""What the stories that a model writes itself are about."""

#: Everyday settings that fix no feeling.
TOPICS = (
    "waiting in the queue of an airport",
    "a birthday dinner",
    "returning a borrowed car",
    "a rehearsal of a choir",
    "crossing to an island by ferry",
    "a football match between two villages",
    "a fence between two gardens",
    "a day of harvest",
    "a visit to a hospital",
    "the last hour of a library",
    "a stall on a market",
    "the first day of a new colleague",
    "an old photograph",
    "a power cut",
    "a play at school",
    "a morning of snow",
)
