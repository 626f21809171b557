import re

from tests.conftest import ROOT

README = ROOT / "echo_tf/theory/README.md"


def test_the_examples_of_the_readme_run_one_after_another(capsys):
    names = {}
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        exec(block, names)
    printed = capsys.readouterr().out
    assert "rate_nats" in printed and "lower_rate_nats" in printed
    assert names["point"].gap <= 1e-9
