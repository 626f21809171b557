"""SIGTERM and Ctrl-C: the run stops at the next batch, with everything up to the last checkpoint kept."""

import signal
import threading

from echo_tf.errors import Interrupted


class StopRequest:
    """Within the context, remembers SIGTERM and SIGINT; `check` raises Interrupted once one has come."""

    def __init__(self):
        self.received = None
        self._previous = {}

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._previous[number] = signal.signal(number, self._remember)
        return self

    def __exit__(self, *_):
        for number, handler in self._previous.items():
            signal.signal(number, handler)
            if self.received == number and isinstance(getattr(handler, "__self__", None), StopRequest):
                handler(number, None)  # a run that ended all the same passes the request on to its study

    def check(self):
        if self.received is not None:
            raise Interrupted(f"stopped by {self.received.name}; the same command continues from the last checkpoint.")

    def _remember(self, number, _):
        self.received = signal.Signals(number)
