#!/usr/bin/env python
"""The command line of echo_tf: the one place that knows the networks in models/ and everything else.

Nothing heavy is imported before a command needs it.
"""

import argparse
import logging
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
INTERRUPTED = 75


def networks():
    """The architectures in models/, by the name that a configuration gives."""
    from models import alemi2018, kingma2014

    return {"alemi2018": alemi2018, "kingma2014": kingma2014}


def network_of(config):
    from echo_tf.errors import InputError

    known = networks()
    if config.network not in known:
        raise InputError(f"setting 'network' must be one of {', '.join(known)}, got {config.network!r}.")
    return known[config.network]


def run_one(config, options):
    """Trains one run, or says that it is done. Returns its record."""
    from echo_tf import data, records
    from echo_tf.training import train

    record, existed = train(
        config,
        network_of(config),
        lambda: data.load_once(config.dataset, data.data_directory(options.data_dir)),
        options.results,
        options.work_dir,
        verbose=1 if sys.stdout.isatty() else 2,
    )
    line = f"{'there already: ' if existed else ''}{records.path_of(config, options.results)}: {records.in_words(record)}"
    print(line, file=sys.stdout if record["status"] == "finished" else sys.stderr, flush=True)
    return record


def run_all(configs, options):
    """Does the runs of a study with the engine that was asked for, and returns the exit status."""
    from echo_tf import data, studies

    for config in configs:
        network_of(config)  # a network that is not there is said before hours go into the others
    if options.engine == "ray":
        from echo_tf.ray_engine import Places, Share, run_ray

        folders = (data.data_directory(options.data_dir), options.results, options.work_dir)
        places = Places(*(str(Path(folder).resolve()) for folder in folders))
        share = Share(options.cpus_per_run, options.gpus_per_run)
        outcomes = run_ray(configs, networks(), places, options.address, share)
    else:
        outcomes = studies.run_local(configs, options.results, lambda config: run_one(config, options))
    return studies.conclude(outcomes)


def command_study(options):
    from echo_tf import studies
    from echo_tf.config import read_study

    study = read_study(options.study, ROOT / "configs")
    configs = studies.expand(study, options.preset, options.only)
    if options.list:
        print(studies.listing(configs, options.results, options.work_dir))
        return 0
    if options.index is not None:
        configs = [studies.pick(configs, options.index)]
    return run_all(configs, options)


def command_reproduce(options):
    from echo_tf import figures, studies, tables
    from echo_tf.config import read_study

    found = [read_study(name, ROOT / "configs") for name in study_names(options.names)]
    plans = [(study, studies.expand(study, options.preset)) for study in found]  # all, before hours go into the first
    # what measures most goes first: its trainings then serve the other studies too
    plans.sort(key=lambda plan: max((config.analysis, config.likelihood_samples) for config in plan[1]), reverse=True)
    statuses = []
    for study, configs in plans:
        print(f"{study.study}: {study.description}", flush=True)
        statuses.append(run_all(configs, options))
        if any(state.word == "finished" for state in studies.survey(configs, options.results, options.work_dir)):
            print(tables.write(options.results, study.study, published_file(study)))
            for path in figures.write(options.results, study.study):
                print("figure:", path)
    if any(study.study.startswith("echo/") for study in found):
        print("figure:", *figures.write(options.results, figures.NOISE))  # Figure 1 needs no runs
    return 1 if 1 in statuses else max(statuses)


def study_names(names):
    """The studies by these names, and all studies of a paper (a folder of configs/); no names: of every paper."""
    folder, found = ROOT / "configs", []
    for name in names or sorted(path.name for path in folder.iterdir() if path.is_dir()):
        place = (folder / name).resolve()
        within = folder in place.parents and place.is_dir()  # "." and ".." are no papers
        files = sorted(place.rglob("*.yaml")) if within else []
        found += [str(path) for path in files] or [name]
    return found


def command_train(options):
    from echo_tf.config import read_study, resolve

    overrides = options.settings + (["deterministic=true"] if options.deterministic else [])
    config = resolve(read_study(options.config, ROOT / "configs"), options.preset, overrides)
    return 0 if run_one(config, options)["status"] == "finished" else 1


def command_tables(options):
    from echo_tf import tables
    from echo_tf.config import read_study
    from echo_tf.errors import InputError

    names = options.study or tables.study_names(options.results)
    if not names:
        raise InputError(f"no records in {options.results}/runs: train something first.")
    for name in names:
        path = ROOT / "configs" / f"{name}.yaml"
        print(tables.write(options.results, name, published_file(read_study(path)) if path.is_file() else None))
    return 0


def command_figures(options):
    from echo_tf import figures, tables

    for study in options.study or [*tables.study_names(options.results), figures.NOISE]:
        for path in figures.write(options.results, study):
            print(path, flush=True)
    return 0


def published_file(study):
    """The file of published numbers that a `Study` names, or None."""
    return study.published and ROOT / "results" / "published" / study.published


def command_data(options):
    from echo_tf.data import commands

    return commands.main(options)


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
    top.set_defaults(command=command_reproduce, names=["quickstart"], preset=None, engine="local")
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
    train.add_argument("--preset", help="scale of the run: paper, short, quick or smoke (default: paper)")
    train.add_argument("--deterministic", action="store_true", help="bit-equal results when repeated or resumed on a CPU")
    add_study_commands(add)
    tables = add("tables", command_tables, "rebuild the tables from results/ alone")
    tables.add_argument("study", nargs="*", help="studies (default: all that have records)")
    figures = add("figures", command_figures, "rebuild the figures from results/ alone")
    figures.add_argument(
        "study",
        nargs="*",
        help="studies, or echo/noise for Figure 1, which needs none (default: all that have records, and it)",
    )
    add_data_commands(add, places)
    bench = add("bench", command_bench, "measure speed: ratios taken in one run")
    bench.add_argument("only", nargs="*", metavar="PART", help="parts to measure (default: all)")
    return top


def add_data_commands(add, places):
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


def add_study_commands(add):
    study = add("study", command_study, "all runs of a study, a list of them, or one by its index; skips what is done")
    study.add_argument("study", help="a YAML file, or its name below configs/ (echo/rd_curves)")
    study.add_argument("--list", action="store_true", help="list the runs: index, state, path, time left; run nothing")
    study.add_argument("--index", type=int, metavar="I", help="only the run with this index in the list")
    study.add_argument("--only", nargs="+", action="extend", default=[], metavar="AXIS=VALUE[,VALUE]", help="only these runs")
    reproduce = add("reproduce", command_reproduce, "what is missing of a study or of a whole paper, its tables and figures")
    reproduce.add_argument("names", nargs="*", metavar="STUDY|PAPER", help="echo/table1, echo, ... (default: every paper)")
    for sub in (study, reproduce):
        sub.add_argument("--preset", help="scale of the runs: paper, short, quick or smoke (default: paper)")
        sub.add_argument("--engine", choices=("local", "ray"), default="local", help="one after another here, or a Ray cluster")
        sub.add_argument("--address", help="of the Ray cluster (default: RAY_ADDRESS, else one on this machine)")
        sub.add_argument("--cpus-per-run", type=float, default=1, metavar="N", help="cores of a run on Ray (default: 1)")
        sub.add_argument(
            "--gpus-per-run", type=float, default=0, metavar="N", help="GPUs of a run on Ray, as 0.25 (default: 0)"
        )


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
    """Imports Keras and finds its devices with TensorFlow's start-up messages, which bypass Python, kept out of sight.

    So is its alarm at functions that are traced often: every run of a study has its own.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # off by itself on processors without AVX-512, where it halves a step
    logging.getLogger("tensorflow").addFilter(lambda record: "retracing" not in record.getMessage())
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
    try:
        import_quietly()
    except (ImportError, ValueError) as error:  # not installed, or a backend that Keras does not know
        backend = os.environ.get("KERAS_BACKEND", "tensorflow")
        print(
            f"run.py: Keras does not start with the backend {backend!r} ({error}): install what is missing (pip install -e .), "
            "or set KERAS_BACKEND to tensorflow or jax.",
            file=sys.stderr,
        )
        return 2
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
