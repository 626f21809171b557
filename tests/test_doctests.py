import doctest
import importlib

import pytest


@pytest.mark.parametrize("name", ["bias", "echo_sample", "noise", "methods", "gaussianity"])
def test_the_examples_of_docstrings_print_what_they_say(name):
    found = doctest.testmod(importlib.import_module(f"echo_tf.{name}"))
    assert found.attempted and not found.failed
