"""No verb of the command line answers bad arguments or damaged folders with a traceback, unless it is asked for."""

import shutil
from pathlib import Path

import pytest

from fewstep.cli import DEBUG, VERBS, main

RUN = Path(__file__).parents[1] / "formats" / "1" / "run"
OF_A_RUN = {
    "resume": ["RUN"],
    "evaluate": ["RUN"],
    "audit": ["RUN"],
    "compare": ["RUN", "RUN"],
    "pack": ["RUN", "--out", "x.fewstep-learner"],
    "adapt": ["RUN", "--support", "support", "--out", "x.fewstep"],
}
WRONG = {
    "recipes": ["nothing-of-this-name"],
    "train": ["sinusoid-10s-maml", "--net", "no_such_module:Net", "--dry-run"],
    "study": ["nothing-of-this-name"],
    "predict": ["no.fewstep", "no.png"],
    "data": ["import", "cub", "no-such-file.tgz"],
    "play": ["--port", "-1"],
    **{verb: [word.replace("RUN", "no-such-run") for word in words] for verb, words in OF_A_RUN.items()},
}
DAMAGE = {
    "recipe.json": [b"", b"{", b"[]", b'{"format": 1}', b"\xff\xfe", b"[" * 100_000],
    "metrics.jsonl": [b"{}\n{}\n", b'{"kind": "train"}\n\n', b"\xff\n\xff\n"],
    "result.json": [b"", b"[]", b'{"at_step": 3}'],
    "checkpoint-00000002.safetensors": [b"", b"\0" * 64, b"\xff" * 64],
}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)


def errors_of(words: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    code, told = main(words), capsys.readouterr()
    assert "Traceback" not in told.out + told.err
    assert "unexpected" not in told.err
    return code, told.err


def test_every_verb_is_tried():
    assert WRONG.keys() == VERBS.keys()


@pytest.mark.parametrize("verb", VERBS)
def test_a_wrong_option_is_wrong_usage(verb, capsys):
    assert errors_of([verb, "--no-such-option", "3"], capsys)[0] == 2


@pytest.mark.parametrize("verb", WRONG)
def test_a_wrong_value_is_one_line_of_error_and_its_traceback_is_for_whoever_asks(verb, capsys):
    code, told = errors_of([verb, *WRONG[verb]], capsys)
    assert code == 1
    assert told.splitlines()[-1].startswith("fewstep: error: ")
    with pytest.raises((ValueError, OSError)):
        main([verb, *WRONG[verb], DEBUG])


@pytest.mark.parametrize("verb", OF_A_RUN)
def test_a_damaged_run_folder_is_one_line_of_error_whatever_is_damaged(verb, capsys):
    for name, damages in DAMAGE.items():
        if verb == "resume" and name == "result.json":
            continue  # it is tested again, which mends it
        for damage in damages:
            run = Path(shutil.copytree(RUN, "run", dirs_exist_ok=True))
            (run / "best.safetensors").unlink()
            (run / name).write_bytes(damage)
            words = [word.replace("RUN", "run") for word in OF_A_RUN[verb]]
            code, told = errors_of([verb, *words], capsys)
            assert code in (0, 1)
            assert code == 0 or told.splitlines()[-1].startswith("fewstep: error: "), (name, damage)
            assert code == 1 or name != "recipe.json"
            shutil.rmtree(run)
