"""Learning-rate schedules, as functions of the epoch.

Both keep the base rate over the first half of training and differ in the second (Echo paper, appendix E:
200 epochs, 3e-4, "decaying linearly to 0 over the last 100").
"""


def paper(epoch, epochs, base):
    """Linear from `base` to 0 over the second half of `epochs`."""
    return base * min(1.0, (epochs - epoch) / (epochs / 2))


def released(epoch, epochs, base):
    """What the released Echo code does: after the first half it drops to near 0 and *rises* again to `base`."""
    if epoch <= epochs / 2:
        return base
    return base * (1.0 - (epochs - epoch) / (epochs / 2))


SCHEDULES = {"paper": paper, "released": released}
