#!/usr/bin/env python
"""The command line of echo_tf: the one place that knows the networks in models/ and everything else.

Nothing heavy is imported before a command needs it.
"""

import os
import signal
import sys

os.environ.setdefault("ECHO_TF_LAZY", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from echo_tf import console

if __name__ == "__main__":
    console.open_streams()

INTERRUPTED = 75
STDERR = os.dup(2)  # where messages go while an import's own are kept out of sight


def stop_at_once(number, _):
    """Before a run has begun nothing is at stake, and an import that an exception cuts short says so in tracebacks."""
    os.write(STDERR, f"run.py: interrupted by {signal.Signals(number).name}: run again to continue\n".encode())
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    for _signal in (signal.SIGTERM, signal.SIGINT):
        signal.signal(_signal, stop_at_once)

import importlib
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent
CONFIGS = ROOT / "configs"
RESULTS = ROOT / "results"
OWN_RESULTS = RESULTS / "own"
QUICKSTART = "quickstart"


def network_of(name):
    """The architecture `models/<name>.py`. Raises InputError as `check_networks`."""
    from echo_tf.errors import InputError

    check_networks([name])
    try:
        return importlib.import_module(f"models.{name}")
    except Exception as error:  # a file of one's own, in which anything may be wrong
        raise InputError(f"models/{name}.py cannot be imported ({type(error).__name__}: {error}): mend it.") from error


def check_networks(names):
    """Raises InputError, with those that there are, for an architecture that is not: before hours go into other runs."""
    from echo_tf.errors import InputError, nearest

    known = sorted(path.stem for path in (ROOT / "models").glob("[a-z]*.py"))
    for name in names:
        if name not in known:
            raise InputError(f"setting 'network' must be one of {', '.join(known)}, got {name!r}{nearest(name, known)}.")


def results_of(options, settings=None, study=None, preset=None):
    """Where the records of a run, or of the runs of a study in a preset, stand.

    The repository's results/ holds what its own studies ask for, in any preset but `smoke`. All other runs, with settings,
    data or studies of one's own, go to results/own/, which is not in git. --results overrides both.
    """
    from echo_tf.runs.studies import NO_RESULTS

    if options.results:
        return Path(options.results)
    of_a_paper = study is not None and study.file == CONFIGS / f"{study.study}.yaml" and "/" in study.study
    preset = settings.preset if settings is not None else preset or options.preset
    return RESULTS if of_a_paper and preset not in NO_RESULTS else OWN_RESULTS


def tools_of(options, results):
    """What runs are given; see `echo_tf.runs.place.Tools`."""
    from echo_tf import data
    from echo_tf.runs.place import Tools

    directory = data.data_directory(options.data_dir)
    also = () if options.results else tuple(folder for folder in (RESULTS, OWN_RESULTS) if folder != results)
    verbose = 1 if sys.stdout.isatty() else 2
    return Tools(network_of, lambda name: data.load_once(name, directory), results, options.work_dir, also, verbose)


def run_one(settings, tools, again=False, retrain=False):
    """Does one run, or says that it is done. Returns its `Result`.

    Args:
        again: train once more what has a record but no model any more.
        retrain: do that for a model that this run needs.
    """
    from echo_tf.runs import kind_of
    from echo_tf.runs.place import ModelGone, find

    result = find(settings, tools.results)
    existed = result is not None
    console.working_on(settings.run_path)
    if not existed or again:
        console.start_keras()
        from echo_tf.runs.runner import run

        try:
            result, existed = run(settings, tools, again=again)
        except ModelGone as gone:
            if not retrain:
                raise
            print(f"{gone.settings.run_path} has a record, but its model is gone: it is trained again", flush=True)
            run(gone.settings, tools._replace(results=gone.results), again=True)
            result, existed = run(settings, tools)
    line = f"{'there already: ' if existed else ''}{result.path}: {kind_of.line(result.record)}"
    print(line, file=sys.stdout if result.finished else sys.stderr, flush=True)
    return result


def run_all(runs, options, tools):
    """Does the runs of a study with the engine that was asked for, and returns the exit status."""
    from echo_tf.errors import InputError
    from echo_tf.runs import local_engine
    from echo_tf.runs.studies import networks_in

    check_networks(networks_in(runs))
    if options.engine == "ray":
        if getattr(options, "again", False):
            raise InputError("--again is not for --engine ray, whose workers take what is recorded: use the local engine.")
        console.start_keras()
        from echo_tf import data
        from echo_tf.runs.ray_engine import Share, run_ray

        networks = {name: network_of(name) for name in networks_in(runs)}
        directory = str(data.data_directory(options.data_dir).resolve())
        share = Share(options.cpus_per_run, options.gpus_per_run)
        outcomes = run_ray(runs, networks, directory, tools, options.address, share)
    else:
        retrain = options.command is command_reproduce
        again = getattr(options, "again", False)
        outcomes = local_engine.run_local(runs, tools, lambda settings: run_one(settings, tools, again, retrain), again=again)
    return local_engine.conclude(outcomes)


def command_train(options):
    from echo_tf.runs.resolving import resolve
    from echo_tf.runs.studies import networks_in, read_study

    study = read_study(options.config, CONFIGS)
    overrides = options.settings + (["deterministic=true"] if options.deterministic else [])
    settings = resolve(study, options.preset, overrides)
    tools = tools_of(options, results_of(options, settings, study))
    check_networks(networks_in([settings]))
    return 0 if run_one(settings, tools, options.again).finished else 1


def command_study(options):
    from echo_tf.errors import InputError, nearest
    from echo_tf.runs.studies import expand, pick, read_study, studies_in
    from echo_tf.runs.survey import listing

    if options.study is None or studies_in(options.study, CONFIGS):
        return list_studies(options)
    study = read_study(options.study, CONFIGS)
    options.preset = study.choose_preset(options.preset)
    runs = expand(study, options.preset, options.only)
    tools = tools_of(options, results_of(options, study=study))
    if options.index is not None:
        runs = [pick(runs, options.index)]
    if options.run is not None:
        paths = [str(settings.run_path) for settings in runs]
        if options.run not in paths:
            raise InputError(f"{study.study} has no run {options.run!r}{nearest(options.run, paths)}; see them with --list.")
        runs = [runs[paths.index(options.run)]]
    if options.list:
        print(listing(runs, tools))
        return 0
    return run_all(runs, options, tools)


def list_studies(options):
    """All studies, or the runs of a paper's."""
    from echo_tf.errors import InputError
    from echo_tf.runs.studies import read_study, studies_in
    from echo_tf.runs.survey import listing

    if not options.list or options.only or options.index is not None or options.run is not None:
        what = "no name was given" if options.study is None else f"{options.study} is a paper"
        raise InputError(f"study needs the name of a study, and {what}: see study {options.study or ''} --list; or reproduce.")
    if options.study is None:
        for study in (read_study(path, CONFIGS) for path in studies_in("", CONFIGS)):
            print(f"{study.study:26}  {study.description}")
        return 0
    for plan in plans_of([options.study], options):
        print(f"{plan.study.study}: {plan.study.description}")
        print(listing(plan.runs, plan.tools))
    return 0


class Plan(NamedTuple):
    """What is to be reproduced of one study."""

    study: object
    preset: str
    runs: list
    tools: object


def plans_of(names, options):
    """A `Plan` for each study by these names, or of these papers: those that measure last but for those without runs."""
    from echo_tf.runs.studies import expand, read_study, studies_in

    plans, files = [], [path for name in names for path in studies_in(name, CONFIGS) or [name]]
    for study in [read_study(path, CONFIGS) for path in files]:
        preset = study.choose_preset(options.preset)
        tools = tools_of(options, results_of(options, study=study, preset=preset))
        plans.append(Plan(study, preset, expand(study, preset), tools))
    return sorted(plans, key=lambda plan: 2 if not plan.runs else int(plan.study.of is not None))


def command_reproduce(options):
    from echo_tf import tables
    from echo_tf.errors import InputError
    from echo_tf.runs.interrupts import StopRequest

    if not options.names:
        papers = ", ".join(sorted(path.name for path in CONFIGS.iterdir() if path.is_dir()))
        raise InputError(f"reproduce needs the name of a paper ({papers}) or of a study (see them with: run.py study --list).")
    plans = plans_of(options.names, options)  # all, before hours go into the first
    for plan in plans:
        tables.check_forms(plan.study, RESULTS / "published")
    with StopRequest() as stop:
        return reproduce(plans, options, stop)


def reproduce(plans, options, stop):
    """Does one plan after another, each with its tables and figures, and once more those that later runs may have changed.
    Returns the exit status."""
    from echo_tf.runs import records, survey

    statuses, drawn = [0], {}
    known = {folder: records.read_all(folder) for folder in {plan.tools.results for plan in plans}}
    states = [survey.survey(plan.runs, plan.tools, known[plan.tools.results]) for plan in plans]
    for number, plan in enumerate(plans):
        stop.check()  # which came while tables or figures were drawn
        left, of_all = (survey.left_to_do(found) for found in (states[number], sum(states[number:], [])))
        print(f"study {number + 1} of {len(plans)}, {plan.study.study}: {plan.study.description}", flush=True)
        print(f"left to do: {left}; with the studies to come: {of_all}", flush=True)
        if plan.runs and not options.again and all(state.word == "finished" for state in states[number]):
            print(
                f"all of its runs are recorded in {plan.tools.results} (the repository brings its own records along) and are "
                f"not done again; to do them anew: run.py reproduce {plan.study.study} --preset {plan.preset} --results FOLDER"
            )
        statuses.append(do_needed(plan.runs, options, plan.tools, stop))
        stop.check()
        statuses += [run_all(plan.runs, options, plan.tools)] if plan.runs else []
        stop.check()
        drawn[number] = report(plan)
    every = {folder: len(records.read_all(folder, say=lambda line: None)) for folder in known}
    for number, plan in enumerate(plans):
        stop.check()
        if drawn[number] != every[plan.tools.results]:
            print(f"{plan.study.study}, once more, as further runs are recorded now:", flush=True)
            report(plan)
    return 1 if 1 in statuses else max(statuses)


def report(plan):
    """Writes the tables and figures of a plan's study. Returns of how many records."""
    from echo_tf import figures, tables
    from echo_tf.runs import records

    console.working_on(f"tables and figures of {plan.study.study}")
    every, folder, name = records.read_all(plan.tools.results), plan.tools.results, plan.study.study
    if not plan.runs or any(result.finished for result in every if result.settings.study == name):
        for text in tables.write(folder, name, every, plan.study, RESULTS / "published"):
            print(text)
        for path in draw(figures, folder, name, every, plan.study):
            print("figure:", path, flush=True)
    return len(every)


def do_needed(runs, options, tools, stop):
    """Does the runs that others need and that have no record: first those that need none themselves, and so on, as an engine
    may do what it is given in any order. Returns the exit status."""
    from echo_tf.runs.place import find
    from echo_tf.runs.runner import missing

    todo, done, statuses = [settings for settings in runs if find(settings, tools.results) is None], set(), [0]
    while ready := [
        settings
        for settings in dict.fromkeys(other for one in todo for other in missing(one, tools))
        if settings not in done and not missing(settings, tools)
    ]:
        statuses.append(run_all(ready, options, tools))
        stop.check()  # which came within the last of them
        done |= {*ready}
    return 1 if 1 in statuses else max(statuses)


def results_asked_for(options):
    """The results folders that tables and figures are made of: the repository's, and one's own where there is one."""
    if options.results:
        return [Path(options.results)]
    return [RESULTS, *([OWN_RESULTS] if (OWN_RESULTS / "runs").is_dir() else [])]


def each_study(options):
    """Yields (results folder, name, its records, its file or None) of the studies asked for, or of all with runs."""
    from echo_tf.errors import InputError
    from echo_tf.runs import records

    known = {path.relative_to(CONFIGS).with_suffix("").as_posix(): path for path in sorted(CONFIGS.rglob("*.yaml"))}
    found = [(folder, records.read_all(folder)) for folder in results_asked_for(options)]
    there = {name for _, every in found for name in records.study_names([one for one in every if one.finished])}
    wanted = sorted(there)
    if options.study:
        there |= {name for _, name, *_ in studies_without_runs(options)}
        papers = {name: sorted(there & {one for one in known if one.startswith(f"{name}/")}) for name in options.study}
        wanted = [one for name in options.study for one in (papers[name] if (CONFIGS / name).is_dir() else [name])]
    if not wanted:
        asked = f" of {', '.join(options.study)}" if options.study else ""
        raise InputError(f"no records{asked} in {found[0][0]}/runs: train something first.")
    for name in wanted:
        has = [(folder, every) for folder, every in found if name in records.study_names(every)]
        for folder, every in has or found[:1]:
            yield folder, name, every, known.get(name)


def command_tables(options):
    from echo_tf import tables
    from echo_tf.tables import documents

    def write(folder, name, every, study):
        for text in tables.write(folder, name, every, study, RESULTS / "published"):
            print(text)

    status = of_every_study(options, write)
    if not options.results and not options.study and not status:
        for path in documents.refresh(ROOT):
            print("tables renewed in", path)
    return status


def command_figures(options):
    from echo_tf import figures

    def write(folder, name, every, study):
        for path in draw(figures, folder, name, every, study):
            print(path, flush=True)

    return of_every_study(options, write)


def of_every_study(options, write):
    """Writes what is asked for of one study after another; one that cannot be made is said, and does not stop the others.
    Returns the exit status."""
    from echo_tf.errors import InputError
    from echo_tf.runs.studies import read_study

    status = 0
    for folder, name, every, path in [*each_study(options), *([] if options.study else studies_without_runs(options))]:
        try:
            write(folder, name, every, read_study(path, CONFIGS) if path else None)
        except InputError as error:
            print(f"run.py: {name}: {' '.join(str(error).split())}", file=sys.stderr)
            status = 2
    return status


def studies_without_runs(options):
    """As `each_study`, of tables and figures that need no records."""
    from echo_tf.errors import InputError
    from echo_tf.runs.studies import read_study

    for path in sorted(CONFIGS.rglob("*.yaml")):
        name = path.relative_to(CONFIGS).with_suffix("").as_posix()
        try:
            if read_study(path, CONFIGS).has_runs:
                continue
        except InputError:  # to be said where tables of it are asked for
            pass
        yield results_asked_for(options)[0], name, [], path


def command_theory(options):
    """The tutorial's tables and figure, in the unit asked for; those of the repository are made by `tables` and `figures`."""
    from echo_tf.figures import tutorial as figure
    from echo_tf.tables import Material
    from echo_tf.tables import tutorial as table

    material = Material(Path(options.results or OWN_RESULTS), "theory/tutorial", (), ())
    print(table.write(material, options.unit))
    for path in figure.write(material, options.unit):
        print("figure:", path)
    return 0


def draw(figures, folder, name, every, study):
    if study is not None and figures.need_keras(study):
        console.start_keras()
    return figures.write(folder, name, every, study)


def command_data(options):
    from echo_tf.data import commands

    if options.action != "list":
        console.start_keras()  # TFDS brings TensorFlow, whose start-up messages are kept out of sight so
    return commands.main(options)


def command_bench(options):
    console.start_keras()
    from echo_tf import bench

    return bench.main(network_of("alemi2018"), options.only, {"disentangle": network_of("locatello2019")})


def parse(arguments):
    """The options, with key=value settings accepted before and after the flags (argparse alone takes one place)."""
    from echo_tf import __version__
    from echo_tf.command_line import parser

    commands = {
        "train": command_train,
        "study": command_study,
        "reproduce": command_reproduce,
        "tables": command_tables,
        "figures": command_figures,
        "theory": command_theory,
        "data": command_data,
        "bench": command_bench,
    }
    top = parser(commands, ROOT / "work", QUICKSTART, __version__)
    options, rest = top.parse_known_args(arguments)
    strange = [word for word in rest if "=" not in word or word.startswith("-")]
    if rest and (strange or not hasattr(options, "settings")):
        top.error(f"unrecognized arguments: {' '.join(strange or rest)}")
    if rest:
        options.settings = options.settings + rest
    return options


def main(arguments=None):
    try:
        options = parse(arguments)
    except ImportError as error:  # the venv was forgotten, most likely
        print(f"run.py: {error}: install what is missing (pip install -e .).", file=sys.stderr)
        return 2
    from echo_tf.errors import InputError, Interrupted, InUse

    try:
        status = options.command(options)
        sys.stdout.flush()  # while what goes wrong with it can be said
        return status
    except BrokenPipeError:
        console.silence_stdout()
        print("run.py: nobody reads its output any more: run again to continue", file=sys.stderr)
        return 1
    except InUse as error:  # as a study that another process holds a run of
        print(f"run.py: {error}", file=sys.stderr)
        return INTERRUPTED
    except (InputError, OSError) as error:  # a disk that is full or read-only, wherever it was met, is the user's to mend too
        print(f"run.py: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except ImportError as error:
        print(f"run.py: {error}: install what is missing (pip install -e .).", file=sys.stderr)
        return 2
    except (Interrupted, KeyboardInterrupt) as error:
        print(f"run.py: interrupted: {str(error) or 'run again to continue'}", file=sys.stderr)
        return INTERRUPTED


if __name__ == "__main__":
    longest = None if sys.stderr.isatty() else console.LONGEST
    with console.Heartbeat(lambda line: os.write(STDERR, line.encode()), longest=longest):
        outcome = main()
    sys.exit(outcome)
