"""The engine's processes end with the server, however it ends, and leave Ctrl-C to it.

vLLM's own go on when the server is killed: they keep the device's memory, and even decode on.
A terminal sends Ctrl-C to all of them at once, so that the engine would be gone before the
server could let its requests end.
"""

import ctypes
import multiprocessing
import os
import signal
import sys
import threading

_PR_SET_PDEATHSIG = 1


def follow_parent() -> None:
    """Called in each engine process, once it is set up. In the server's own it does nothing."""
    parent = multiprocessing.parent_process()
    if parent is None or threading.current_thread() is not threading.main_thread():
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent.pid:  # it had already ended
            os.kill(os.getpid(), signal.SIGKILL)
