"""The metric "rate" of a Keras model of one's own: what all of its Echo layers together report."""

import keras
from keras import ops


class TotalRate(keras.metrics.Metric):
    """The mean over examples of the rate of all Echo layers of a model together.

    Each layer has one; all but that of the model's first are `silent`.
    """

    def __init__(self, name="rate", **kwargs):
        super().__init__(name=name, **kwargs)
        self.silent = False
        self.counted_in = None
        self.total = self.add_variable((), "zeros", name="total")
        self.count = self.add_variable((), "zeros", name="count")

    def update_state(self, rate, counts):
        """Adds the rates (B,) of a call of a layer. `counts`: whether its examples are counted, which one call does for all."""
        self.total.assign_add(ops.cast(ops.sum(rate), self.total.dtype))
        if counts:
            self.count.assign_add(ops.cast(ops.size(rate), self.count.dtype))

    def result(self):
        if self.silent:
            return {}  # of a dict, Keras reports the entries
        return ops.divide_no_nan(self.total, self.count)


def add_to_total(rate, metrics, call):
    """Adds the rates (B,) of one layer to the first of its model's `metrics`, and silences the others.

    call: stands for one call of the model, in which examples are counted once, however often its layers are called.
    """
    first = metrics[0]
    for metric in metrics:
        metric.silent = metric is not first
    first.update_state(rate, counts=first.counted_in is not call)
    first.counted_in = call
