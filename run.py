#!/usr/bin/env python
"""The command line of echo_tf: the one place that knows the networks in models/ and everything else.

Nothing heavy is imported before a command needs it.
"""

import argparse
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
INTERRUPTED = 75


def networks():
    """The architectures in models/, by the name that a configuration gives."""
    from models import alemi2018, kingma2014

    return {"alemi2018": alemi2018, "kingma2014": kingma2014}


def run_one(config, options):
    """Trains one run, or says that it is done. Returns its record."""
    from echo_tf import data
    from echo_tf.errors import InputError
    from echo_tf.training import train

    known = networks()
    if config.network not in known:
        raise InputError(f"setting 'network' must be one of {', '.join(known)}, got {config.network!r}.")
    record, existed = train(
        config,
        known[config.network],
        lambda: data.load(config.dataset, options.data_dir),
        options.results,
        options.work_dir,
        verbose=1 if sys.stdout.isatty() else 2,
    )
    said = "there already: " if existed else ""
    path = f"{Path(options.results, 'runs', config.run_path)}.json"
    if record["status"] == "finished":
        metrics = {name: value["mean"] for name, value in record["test"]["metrics"].items()}
        print(
            f"{said}{path}: rate {metrics['rate_nats']:.2f}, distortion {metrics['distortion_nats']:.2f}, "
            f"-ELBO {metrics['neg_elbo_nats']:.2f} nats per test image",
            flush=True,
        )
    else:
        print(f"{said}{path}: diverged after {len(record['history'])} epochs (last finite checkpoint kept)", file=sys.stderr)
    return record


def command_quickstart(options):
    from echo_tf import figures, tables
    from echo_tf.config import read_study, resolve

    study = read_study("quickstart", ROOT / "configs")
    runs = [(method, beta) for method in study.axes["method"] for beta in study.axes["beta"]]
    for i, (method, beta) in enumerate(runs, 1):
        print(f"[{i}/{len(runs)}] {method} at beta {beta:g} on digits", flush=True)
        record = run_one(resolve(study, overrides=[f"method={method}", f"beta={beta}"]), options)
        if record["status"] != "finished":
            return 1
    print(tables.write(options.results, study.study))
    for path in figures.write(options.results, study.study):
        print("figure:", path)
    return 0


def command_train(options):
    from echo_tf.config import read_study, resolve

    overrides = options.settings + (["deterministic=true"] if options.deterministic else [])
    config = resolve(read_study(options.config, ROOT / "configs"), options.preset, overrides)
    return 0 if run_one(config, options)["status"] == "finished" else 1


def command_tables(options):
    from echo_tf import tables
    from echo_tf.errors import InputError

    studies = options.study or tables.study_names(options.results)
    if not studies:
        raise InputError(f"no records in {options.results}/runs: train something first.")
    for study in studies:
        print(tables.write(options.results, study, published_of(study)))
    return 0


def command_figures(options):
    from echo_tf import figures, tables

    for study in options.study or [*tables.study_names(options.results), figures.NOISE]:
        for path in figures.write(options.results, study):
            print(path, flush=True)
    return 0


def published_of(study):
    """The file of published numbers that a study's configuration names, or None."""
    from echo_tf.config import read_study

    path = ROOT / "configs" / f"{study}.yaml"
    name = read_study(path).published if path.is_file() else None
    return name and ROOT / "results" / "published" / name


def command_data(options):
    from echo_tf.data import CATALOG, data_directory, preparing
    from echo_tf.data.loading import find_prepared

    directory = data_directory(options.data_dir)
    if options.action == "import":
        print("wrote", preparing.import_files(options.name, options.files, directory))
    elif options.action == "fetch":
        print("wrote", preparing.fetch(options.name, directory))
    elif options.action == "list":
        print(f"data directory: {directory}")
        for name, known in CATALOG.items():
            prepared = find_prepared(name, directory)
            canonical = known.file and (directory / known.file).is_file()
            found = prepared or (
                known.file if canonical else "with scikit-learn" if not known.file else f"missing; {known.get}"
            )
            print(f"{name:14} {' / '.join(f'{n:,} {split}' for split, n in known.sizes.items()):45} {found}")
    else:
        return _verify(options.names or list(CATALOG), directory)
    return 0


def _verify(names, directory):
    from echo_tf.data import preparing
    from echo_tf.errors import InputError

    failed = False
    for name, found in preparing.verify(names, directory):
        failed |= isinstance(found, InputError)
        print(f"{name:14} {found}" if isinstance(found, InputError) else f"{name:14} ok: {found.source} ({found.variant})")
    return 2 if failed else 0


def command_bench(options):
    from echo_tf import bench

    return bench.main(networks()["alemi2018"], options.only)


def parser():
    top = argparse.ArgumentParser(
        prog="run.py",
        description="Rate-distortion in learned representations. Without a command: the quickstart, Echo and VAE at three "
        "values of beta on scikit-learn's digits, a few minutes on two cores.",
        epilog="Exit status: 0 done, 1 failed, 2 bad input, 75 interrupted (run again to continue).",
    )
    places = argparse.ArgumentParser(add_help=False)
    for p, default in (
        (top, {"data_dir": None, "results": str(ROOT / "results"), "work_dir": str(ROOT / "work")}),
        (places, {}),
    ):
        p.add_argument(
            "--data-dir",
            default=default.get("data_dir", argparse.SUPPRESS),
            help="where datasets are (default: ECHO_TF_DATA, else that of TFDS)",
        )
        p.add_argument(
            "--results", default=default.get("results", argparse.SUPPRESS), help="where records, tables and figures go"
        )
        p.add_argument(
            "--work-dir",
            default=default.get("work_dir", argparse.SUPPRESS),
            help="where checkpoints, logs and trained models go",
        )
    top.set_defaults(command=command_quickstart)
    commands = top.add_subparsers(title="commands", metavar="COMMAND")

    def add(name, command, summary):
        sub = commands.add_parser(name, parents=[places], help=summary, description=summary)
        sub.set_defaults(command=command)
        return sub

    train = add(
        "train", command_train, "train, evaluate and record one run of a configuration; continues, or skips what is done"
    )
    train.add_argument("config", help="a YAML file, or its name below configs/ (echo/table1)")
    train.add_argument("settings", nargs="*", metavar="key=value", help="settings that replace the configuration's")
    train.add_argument("--preset", help="scale of the run: paper, short or smoke (default: paper)")
    train.add_argument("--deterministic", action="store_true", help="bit-equal results when repeated or resumed on a CPU")
    tables = add("tables", command_tables, "rebuild the tables from results/ alone")
    tables.add_argument("study", nargs="*", help="studies (default: all that have records)")
    figures = add("figures", command_figures, "rebuild the figures from results/ alone")
    figures.add_argument(
        "study",
        nargs="*",
        help="studies, or echo/noise for Figure 1, which needs none (default: all that have records, and it)",
    )
    data = add("data", command_data, "list, verify, import or fetch datasets")
    actions = data.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("list", parents=[places], help="what is there")
    verify = actions.add_parser("verify", parents=[places], help="load with all checks")
    verify.add_argument("names", nargs="*", metavar="NAME")
    importing = actions.add_parser("import", parents=[places], help="write images from files as a TFDS dataset")
    importing.add_argument("name", metavar="NAME")
    importing.add_argument("files", nargs="+", metavar="FILE", help="npz, amat, mat or idx.gz")
    fetch = actions.add_parser("fetch", parents=[places], help="download with TFDS: the only command that uses the network")
    fetch.add_argument("name", metavar="NAME")
    bench = add("bench", command_bench, "measure speed: ratios taken in one run")
    bench.add_argument("only", nargs="*", metavar="PART", help="parts to measure (default: all)")
    return top


def parse(arguments):
    """The options, with key=value settings accepted before and after the flags (argparse alone takes one place)."""
    top = parser()
    options, rest = top.parse_known_args(arguments)
    strange = [word for word in rest if "=" not in word or word.startswith("-")]
    if rest and (strange or not hasattr(options, "settings")):
        top.error(f"unrecognized arguments: {' '.join(strange or rest)}")
    if rest:
        options.settings = options.settings + rest
    return options


def import_quietly():
    """Imports Keras and finds its devices with TensorFlow's start-up messages, which bypass Python, kept out of sight."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # off by itself on processors without AVX-512, where it halves a step
    sys.stderr.flush()
    shown, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        from echo_tf.guards import on_tensorflow_cpu

        on_tensorflow_cpu()
    finally:
        os.dup2(shown, 2)
        os.close(shown)
        os.close(nowhere)


def main(arguments=None):
    options = parse(arguments)
    import_quietly()
    from echo_tf.errors import InputError, Interrupted

    try:
        return options.command(options)
    except InputError as error:
        print(f"run.py: {error}", file=sys.stderr)
        return 2
    except OSError as error:  # a disk that is full or read-only, wherever it was met
        print(f"run.py: {error}", file=sys.stderr)
        return 2
    except (Interrupted, KeyboardInterrupt) as error:
        print(f"run.py: interrupted: {str(error) or 'run again to continue'}", file=sys.stderr)
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
