"""A streamed generation that can be changed while it runs, for both kinds of client."""

from vagus._async_stream import AsyncStream
from vagus._conversation_base import ConversationBase
from vagus._stream import Stream


class Conversation(ConversationBase, Stream):
    """A `Stream` with `change`. Use it as `with client.converse(...) as conversation`.

    The thread that iterates may change it, and so may others.
    """


class AsyncConversation(ConversationBase, AsyncStream):
    """An `AsyncStream` with `change`. Use it as `async with client.converse(...)`.

    `change` is an ordinary method: there is nothing to wait for. Call it on the event loop.
    """
