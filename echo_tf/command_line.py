"""The words and options of run.py; it imports nothing but argparse, so that --help answers at once."""

import argparse

FETCHED = "binary_mnist, fashion_mnist, mnist, cifar10, dsprites"  # a test holds it against the catalogue
BENCHES = "ais, disentangle, gan, step, checks, codes, bfloat16, methods, vamp, fit, study, torch, ring, commands"  # tested
SETTINGS = """settings:
  A configuration is a YAML file of configs/. Its base and axes, the preset and then key=value say what one run is:
    python run.py train echo/table1 --preset short dataset=binary_mnist method=vae seed=1
  What settings there are, and what they mean: echo_tf/kinds/README.md; the message for a misspelt one lists them all.
  A value is YAML; network_settings.output_kernel=5 sets one of a group.
  A run that no study has, in any preset, is called `own`, and its record goes to results/own."""


def parser(commands, work, quickstart, version):
    """The parser of run.py.

    Args:
        commands: name -> function (options) -> exit status.
        work: the default work directory.
        quickstart: the study that is reproduced where no command is given.
        version: of echo_tf.
    """
    top = argparse.ArgumentParser(
        prog="run.py",
        description="Rate-distortion in learned representations. Without a command: the quickstart, Echo and VAE at three "
        "values of beta on scikit-learn's digits, a few minutes on two cores.",
        epilog="Exit status: 0 done, 1 failed, 2 bad input, 75 interrupted (run again to continue).",
    )
    top.add_argument("--version", action="version", version=f"echo_tf {version}")
    places = argparse.ArgumentParser(add_help=False)
    _add_places(top, {"data_dir": None, "results": None, "work_dir": str(work)})
    _add_places(places, dict.fromkeys(("data_dir", "results", "work_dir"), argparse.SUPPRESS))
    top.set_defaults(command=commands["reproduce"], names=[quickstart], preset=None, engine="local", again=False)
    words = top.add_subparsers(title="commands", metavar="COMMAND")

    def add(name, summary, **more):
        sub = words.add_parser(
            name,
            parents=[places],
            help=summary,
            description=summary,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            **more,
        )
        sub.set_defaults(command=commands[name])
        return sub

    summary = "do and record one run of a configuration; continues, or skips what is done"
    train = add("train", summary, epilog=SETTINGS)
    train.add_argument("config", help="a YAML file, or its name below configs/ (echo/table1)")
    train.add_argument("settings", nargs="*", metavar="key=value", help="settings that replace the configuration's")
    train.add_argument("--preset", type=_named, help="scale of the run: paper, short, quick or smoke (default: paper)")
    train.add_argument("--deterministic", action="store_true", help="bit-equal results when repeated or resumed on a CPU")
    _add_again(train)
    _add_study_commands(add)
    tables = add("tables", "rebuild the tables from results/ alone")
    tables.add_argument("study", nargs="*", help="studies or papers (default: all that have records)")
    figures = add("figures", "rebuild the figures from results/ alone")
    figures.add_argument("study", nargs="*", help="studies or papers (default: all that have records, or need none)")
    theory = add("theory", "the tables and the figure of the tutorial on rate-distortion theory")
    theory.add_argument("--unit", choices=("bits", "nats"), default="bits", help="of rates (default: bits, as the tutorial)")
    _add_data_commands(add, places)
    bench = add("bench", "measure speed: ratios taken in one run")
    bench.add_argument("only", nargs="*", metavar="PART", help=f"parts to measure (default: all): {BENCHES}")
    return top


def number(text):
    """A number as people write it, which Python takes with underscores too."""
    if "_" in text:
        raise ValueError
    return float(text)


def integer(text):
    """A whole number, likewise."""
    if "_" in text:
        raise ValueError
    return int(text)


def _named(text):
    """What must not be empty: an option that is given says something."""
    if not text.strip():
        raise argparse.ArgumentTypeError("it is empty: leave it out, or say which")
    return text


def _share(text):
    """Cores or GPUs of a run."""
    try:
        value = number(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 10_000:
        raise argparse.ArgumentTypeError(f"must be a number of 0 or more, got {text!r}")
    return value


def _add_places(to, default):
    to.add_argument(
        "--data-dir", type=_named, default=default["data_dir"], help="where datasets are (default: ECHO_TF_DATA, else TFDS's)"
    )
    to.add_argument(
        "--results",
        type=_named,
        default=default["results"],
        help="where records, tables and figures are (default: results/; runs of one's own: results/own/)",
    )
    to.add_argument(
        "--work-dir", type=_named, default=default["work_dir"], help="where checkpoints, logs and trained models are"
    )


def _add_again(to):
    to.add_argument("--again", action="store_true", help="train once more what has a record but no model any more")


def _add_study_commands(add):
    study = add("study", "all runs of a study, a list of them, or one by its index; skips what is done")
    study.add_argument("study", nargs="?", help="a YAML file, or its name below configs/ (echo/rd_curves); a paper to --list")
    study.add_argument(
        "--list", action="store_true", help="list the runs: index, state, path, time left; without a name, the studies"
    )
    study.add_argument("--index", type=integer, metavar="I", help="only the run with this index in the list")
    study.add_argument("--run", metavar="PATH", help="only the run with this path in the list")
    study.add_argument("--only", nargs="+", action="extend", default=[], metavar="AXIS=VALUE[,VALUE]", help="only these runs")
    reproduce = add("reproduce", "what is missing of a study or of a whole paper, its tables and figures")
    reproduce.add_argument("names", nargs="*", metavar="STUDY|PAPER", help="echo/table1, echo, ...")
    for sub in (study, reproduce):
        sub.add_argument("--preset", type=_named, help="scale of the runs: paper, short, quick or smoke (default: paper)")
        sub.add_argument("--engine", choices=("local", "ray"), default="local", help="one after another here, or a Ray cluster")
        sub.add_argument("--address", type=_named, help="of the Ray cluster (default: RAY_ADDRESS, else one on this machine)")
        sub.add_argument("--cpus-per-run", type=_share, default=1, metavar="N", help="cores of a run on Ray (default: 1)")
        sub.add_argument("--gpus-per-run", type=_share, default=0, metavar="N", help="GPUs of a run on Ray (default: 0)")
        _add_again(sub)


def _add_data_commands(add, places):
    data = add("data", "list, verify, import or fetch datasets")
    actions = data.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("list", parents=[places], help="what is there")
    verify = actions.add_parser("verify", parents=[places], help="load with all checks")
    verify.add_argument("names", nargs="*", metavar="NAME")
    importing = actions.add_parser("import", parents=[places], help="write images or vectors from files as a TFDS dataset")
    importing.add_argument("name", metavar="NAME")
    importing.add_argument("files", nargs="+", metavar="FILE", help="files, or a folder of images; see echo_tf/data/README.md")
    importing.add_argument(
        "--range", nargs=2, type=number, metavar=("LOW", "HIGH"), help="the range of the values, where they do not tell"
    )
    importing.add_argument(
        "--test-fraction", type=number, metavar="F", help="share of the test split where files name none (default: a tenth)"
    )
    importing.add_argument(
        "--shape", nargs="+", type=integer, metavar="N", help="of an example, where files hold rows of values"
    )
    fetch = actions.add_parser("fetch", parents=[places], help="download with TFDS: the only command that uses the network")
    fetch.add_argument("name", metavar="NAME", help=FETCHED)
