"""`fewstep train [RECIPE]`: train, test, report."""

import dataclasses
import json
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from fewstep import experiment, recipes
from fewstep.autotune import available_threads
from fewstep.cli.kinds import FOLDER, HELP, choose_kinds
from fewstep.cli.options import DataRoot, Device
from fewstep.cli.session import begin, board_of, run_to_report
from fewstep.experiment import Experiment
from fewstep.journal import newest_update
from fewstep.mapping import Mapping
from fewstep.ranks import Ranks
from fewstep.recipe import Recipe, build, to_json
from fewstep.run_folder import RECIPE
from fewstep.tasks.cache import data_root
from fewstep.torchrun import is_restarted, join
from fewstep.tracing import Execution


@dataclass(frozen=True, kw_only=True)
class TrainArguments:
    """Train a recipe into a run folder, test it and write its report. Any field of the recipe can be overridden."""

    out: Path | None = None
    """the run folder; default: runs/RECIPE-s0, with the seed"""
    seed: int = 0
    """seed of initialisation and training tasks"""
    updates: int | None = None
    """outer updates; the same as --training.updates"""
    minutes: float | None = None
    """stop after so many minutes of training; resume to go on"""
    resume: bool = False
    """go on with the run that the folder holds, test it again where it has finished; begin where there is none.
    Processes that torchrun restarts do so by themselves"""
    device: Device = "cpu"
    threads: int | None = None
    """threads over tasks; default: as many as processors, which the processes of torchrun share. No result depends
    on it"""
    chunk: int | None = None
    """tasks vectorised together; default: measured at the start"""
    execution: Execution | None = None
    """updates as written, or traced once and run again, or compiled too, which takes minutes at the start and suits
    small nets and long trainings; default: measured at the start, nothing compiled"""
    data_root: DataRoot = None
    tensorboard: bool = False
    """write the log to OUT/tensorboard too; resume goes on with it; needs fewstep[tensorboard]"""
    dry_run: bool = False
    """resolve and check everything, print it, and stop"""
    recipe: Annotated[Recipe, tyro.conf.arg(name="")]


def main(words: Sequence[str]) -> int:
    """Parse, train, report."""
    name, rest = _recipe_name(words)
    default, rest = choose_kinds(recipes.find(name), rest)
    with warnings.catch_warnings():  # an algorithm of one's own is none of the union's; tyro says so and takes it
        warnings.filterwarnings("ignore", ".* does not match any type in Union")
        arguments = tyro.cli(
            TrainArguments,
            prog=f"fewstep train {name}",
            description=f"{TrainArguments.__doc__} RECIPE is one that `fewstep recipes` lists, or my_module:RECIPE "
            f"of your own. {HELP}.",
            args=rest,
            default=TrainArguments(recipe=default),
            config=(tyro.conf.AvoidSubcommands,),
        )
    recipe = arguments.recipe
    if arguments.updates is not None:
        training = dataclasses.replace(recipe.training, updates=arguments.updates)
        recipe = dataclasses.replace(recipe, training=training)
    folder = arguments.out or Path("runs") / f"{recipe.name}-s{arguments.seed}"
    if arguments.dry_run:
        return _show(recipe, folder, arguments)
    ranks = join()
    board = board_of(folder, ranks, is_asked_for=arguments.tensorboard)
    begin(recipe, ranks)
    again = is_restarted(ranks)
    if (arguments.resume or again) and ranks.from_first(lambda: (folder / RECIPE).exists()):
        if again and ranks.is_first:
            sys.stderr.write(f"started again; going on after update {newest_update(folder)}\n")
        return run_to_report(_held(recipe, folder, arguments, ranks), minutes=arguments.minutes, board=board)
    created = experiment.create(
        recipe,
        folder,
        data_root=data_root(arguments.data_root),
        seed=arguments.seed,
        device=arguments.device,
        threads=arguments.threads,
        mapping=_mapping(arguments, ranks),
        ranks=ranks,
    )
    return run_to_report(created, minutes=arguments.minutes, board=board)


def _held(recipe: Recipe, folder: Path, arguments: TrainArguments, ranks: Ranks) -> Experiment:
    """The run that the folder holds.

    Raises `ValueError` where it is of another recipe or seed: the words of the command would otherwise count for
    nothing.
    """
    root = data_root(arguments.data_root)
    held = experiment.load(folder, data_root=root, device=arguments.device, ranks=ranks)
    fields = [field.name for field in dataclasses.fields(Recipe) if field.name != "about"]
    differing = [name for name in fields if getattr(held.recipe, name) != getattr(recipe, name)]
    differing += ["seed"] if held.seed != arguments.seed else []
    if differing:
        raise ValueError(
            f"{folder} holds a run of {held.recipe.name} with another {', '.join(differing).replace('_', '-')}; "
            f"give the options that it was begun with, or --out another name"
        )
    return held


def _recipe_name(words: Sequence[str]) -> tuple[str, list[str]]:
    """The recipe, first or anywhere among the options, and the other words."""
    known = {recipe.name for recipe in recipes.ALL}
    for i, word in enumerate(words):
        is_value = i > 0 and words[i - 1] in ("--out", "--data-root", FOLDER)  # a folder may be called like a recipe
        if (i == 0 and not word.startswith("-")) or (word in known and not is_value):
            return word, [*words[:i], *words[i + 1 :]]
    return recipes.DEFAULT, list(words)


def _mapping(arguments: TrainArguments, ranks: Ranks) -> Mapping | None:
    """What --threads, --chunk and --execution fix; None where the clock is to choose."""
    if arguments.execution in ("traced", "compiled"):
        chunk = arguments.recipe.training.meta_batch if arguments.chunk is None else arguments.chunk
        threads = 1 if arguments.threads is None else arguments.threads
        return Mapping(threads=threads, chunk=chunk, execution=arguments.execution)
    if arguments.chunk is None:
        if arguments.execution is not None:
            raise ValueError("--execution eager fixes the mapping and needs --chunk: 1 is task by task")
        return None
    threads = available_threads(ranks.local_count) if arguments.threads is None else arguments.threads
    return Mapping(threads=threads, chunk=arguments.chunk)


def _show(recipe: Recipe, folder: Path, arguments: TrainArguments) -> int:
    experiment.refuse_taken(folder)
    built = build(recipe, data_root(arguments.data_root), arguments.seed)
    learned = sum(tensor.numel() for tensor in built.learner.parameters())
    plan = {
        "folder": str(folder),
        "recipe": to_json(recipe),
        "data": built.splits.summary,
        "learned numbers": learned,
        **({"notes": built.splits.told()} if built.splits.told() else {}),
    }
    sys.stdout.write(json.dumps(plan, indent=2) + "\n")
    return 0
