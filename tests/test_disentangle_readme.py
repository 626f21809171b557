import re
from types import SimpleNamespace

from tests.conftest import ROOT

README = ROOT / "echo_tf/disentangle/README.md"


def test_the_examples_of_the_readme_run(capsys):
    names = {}
    for block in re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL):
        exec(block, names)
    printed = capsys.readouterr().out.splitlines()
    assert float(printed[0]) > 0.9 and len(printed) == 4
    encoder = SimpleNamespace(encode=lambda images: [names["represent"](images)] * 2, channel=None)
    factor_vae, dci = names["scores_of"](encoder, names["Squares"]())
    assert factor_vae.score > 0.9 and 0 < dci.score < 1
