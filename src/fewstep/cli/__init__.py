"""The command line: `fewstep VERB ...`. Nothing heavy is imported before the verb is known."""

import importlib
import os
import sys
from collections.abc import Sequence

from fewstep.nearest import nearest

VERBS = {
    "recipes": "list the recipes, or print one whole",
    "train": "train a recipe into a run folder, test it and write its report",
    "resume": "continue a stopped run, to the bit-identical result",
    "evaluate": "test a run again: other tasks, steps or seed",
    "compare": "finished runs against each other, on the same test tasks",
    "study": "train several recipes over several seeds into one page; `study assignment` is the course's",
    "audit": "measure what a run's learner really does; exit code 1 on a leak",
    "adapt": "from a few images a class to a model that predicts, as one file",
    "predict": "which class each image is of, by a model that `adapt` wrote",
    "pack": "a run's learner as one small file, for `adapt` anywhere",
    "play": "the playground: teach it a symbol, bend a curve, watch your runs, in the browser",
    "data": "list, show, verify or import data sets",
}

DEBUG = "--debug"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0, 1 for an error or a leak, 2 for wrong usage, 130 for Ctrl-C."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = DEBUG in words
    return _heard(_run([word for word in words if word != DEBUG], debug=debug))


def _run(words: Sequence[str], *, debug: bool) -> int:
    try:
        return _verb(words)
    except SystemExit as stop:  # tyro ends this way for --help and for wrong usage
        return stop.code if isinstance(stop.code, int) else 2
    except KeyboardInterrupt:
        return _fail("interrupted", code=130)
    except BrokenPipeError:  # the reader has gone: `fewstep ... | head`
        return 0
    except (ValueError, OSError, ArithmeticError) as error:
        if debug:
            raise
        return _fail(_words_of(error))
    except Exception as error:
        if debug:
            raise
        return _fail(f"unexpected {type(error).__name__}: {error} (run again with {DEBUG} to see where)")


def _verb(words: Sequence[str]) -> int:
    if not words or words[0] in ("-h", "--help"):
        return _say(_help(), code=0 if words else 2)
    if words[0] == "--version":
        return _say(f"fewstep {importlib.import_module('importlib.metadata').version('fewstep')}")
    if words[0] not in VERBS:
        return _fail(f"there is no verb '{words[0]}'{nearest(words[0], VERBS)} (`fewstep --help` lists them)", code=2)
    code: int = importlib.import_module(f"fewstep.cli.{words[0]}").main(words[1:])
    return code


def _words_of(error: Exception) -> str:
    """What an error says, without the number of an `OSError`."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"
    return str(error)


def _heard(code: int) -> int:
    """The exit code once all that was said is out; 1 where the standard output took not all of it, as a full disk."""
    try:
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python would try once more, and complain
        if code == 0 and not isinstance(error, BrokenPipeError):
            return _fail(f"cannot write to the standard output: {error.strerror}")
    return code


def _help() -> str:
    verbs = "\n".join(f"  {verb:9} {what}" for verb, what in VERBS.items())
    return (
        "usage: fewstep VERB ...\n\nfew-shot meta-learning for PyTorch\n\n"
        f"verbs:\n{verbs}\n\n"
        "`fewstep VERB --help` explains every option with its default; `fewstep train RECIPE --help` every field of\n"
        f"that recipe. {DEBUG} shows the traceback of an error. `fewstep train` alone trains the embedded recipe."
    )


def _say(text: str, code: int = 0) -> int:
    sys.stdout.write(text + "\n")
    return code


def _fail(text: str, code: int = 1) -> int:
    sys.stderr.write(f"fewstep: error: {text}\n")
    return code
