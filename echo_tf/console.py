"""The streams of a command line: open and able to print anything, never silent for long. Imports nothing heavy by itself."""

import os
import sys
import threading
import time

SILENCE = 8  # seconds; with the second between looks, under ten
LONGEST = 600  # seconds between two lines in a file, where each silence may be twice as long as the one before


def open_streams() -> None:
    """Opens what the shell closed (`>&-`), or the next file would take its number; escapes what an encoding lacks."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # which takes the lowest number that is free, this one
    for name, number in (("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w", closefd=False, encoding="utf-8"))
        getattr(sys, name).reconfigure(errors="backslashreplace")


def silence_stdout() -> None:
    """Sends what is still to be printed nowhere, as where nobody reads a pipe any more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


class Heartbeat:
    """Within the context, says on what work goes on whenever nothing was printed for some seconds.

    write: takes a line. seconds: of silence. longest: to which it may grow while one work lasts; None: it does not.
    """

    _now = None  # the one in use

    def __init__(self, write, seconds=SILENCE, longest=None):
        self.write, self.seconds, self.longest = write, seconds, longest or seconds
        self.silence = seconds
        self.doing, self.since, self.last = None, time.monotonic(), time.monotonic()
        self._end = threading.Event()

    def __enter__(self):
        self._streams = sys.stdout, sys.stderr
        sys.stdout, sys.stderr = (_Noticed(stream, self) for stream in self._streams)
        Heartbeat._now = self
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        self._thread.join()
        Heartbeat._now = None
        sys.stdout, sys.stderr = self._streams

    def _beat(self):
        while not self._end.wait(min(1.0, self.seconds / 4)):
            now = time.monotonic()
            if now - self.last >= self.silence:
                what = f" on {self.doing}" if self.doing else ""
                self.write(f"run.py: still at work{what}, for {now - self.since:.0f} s\n")
                self.last, self.silence = now, min(2 * self.silence, self.longest)


def working_on(what: str | None) -> str | None:
    """Says to the heartbeat, if there is one, what is being done from now on; returns what was."""
    beat, before = Heartbeat._now, None
    if beat is not None:
        before = beat.doing
        beat.doing, beat.since, beat.silence = what, time.monotonic(), beat.seconds
    return before


class _Noticed:
    """A stream that tells a heartbeat when something is printed."""

    def __init__(self, stream, beat):
        self._stream, self._beat = stream, beat

    def write(self, text):
        self._beat.last = time.monotonic()
        return self._stream.write(text)

    def __getattr__(self, name):
        return getattr(self._stream, name)


def start_keras() -> None:
    """Imports Keras and every layer, with TensorFlow's start-up messages, which bypass Python, kept out of sight.

    So is its alarm at functions that are traced often: every run of a study has its own.

    Raises:
        InputError: if Keras does not start.
    """
    import logging

    logging.getLogger("tensorflow").addFilter(lambda record: "retracing" not in record.getMessage())
    if "keras" in sys.modules:
        return
    from echo_tf.errors import InputError

    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # off by itself on processors without AVX-512, where it halves a step
    before = working_on("the start of Keras")
    sys.stderr.flush()
    shown, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        import echo_tf
        from echo_tf.guards import on_tensorflow_cpu

        echo_tf.load_all()
        on_tensorflow_cpu()
    except (ImportError, ValueError) as error:  # not installed, or a backend that Keras does not know
        backend = os.environ.get("KERAS_BACKEND", "tensorflow")
        raise InputError(
            f"Keras does not start with the backend {backend!r} ({' '.join(str(error).split())}): install what is missing "
            "(pip install -e .), or set KERAS_BACKEND to tensorflow or jax."
        ) from error
    finally:
        os.dup2(shown, 2)
        os.close(shown)
        os.close(nowhere)
        working_on(before)
