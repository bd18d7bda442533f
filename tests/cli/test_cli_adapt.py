"""`fewstep adapt`, `fewstep predict` and `fewstep pack`: from a run to predictions."""

import csv
import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import save_file

import fewstep
from fewstep import experiment, learner_file, measured
from fewstep.cli import main
from fewstep.trained import read_trained
from run_builders import FEW_ALPHABETS, few_strokes, identical

RESULTS = Path(__file__).parent.parent.parent / "results"
ALPHABETS = [
    word
    for tasks in ("train", "test")
    for name, count in FEW_ALPHABETS.items()
    for word in (f"--{tasks}-tasks.{name.replace('_', '-')}", str(count))
]
TRAIN = [
    *["train", "strokes-5w1s-maml", "--threads", "1", "--chunk", "1", "--net.filters", "4", *ALPHABETS],
    *["--training.updates", "2", "--training.meta-batch", "2", "--training.validation-tasks", "4"],
    *["--evaluation.tasks", "4", "--evaluation.steps", "2"],
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A run of two updates under the norm policy `transductive`; tests that change it take a copy."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    assert main([*TRAIN, "--out", str(folder)]) == 0
    return folder


@pytest.fixture
def run(trained, tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(measured, "TASKS", 4)
    return Path(shutil.copytree(trained, tmp_path / "run"))


@pytest.fixture(scope="module")
def symbols(tmp_path_factory) -> Path:
    """Five class folders with one to three drawings, and `other/` with one more of each."""
    root = tmp_path_factory.mktemp("symbols")
    support, queries = few_strokes(ways=5, shots=3, queries=1).test.sample(0, "use", 0, 1).select(0)
    for i, (x, y) in enumerate(zip(support.x, support.y.tolist(), strict=True)):
        if i % 3 <= y:
            _draw(x.numpy(), root / "support" / f"symbol{y}" / f"{i}.png")
    for x, y in zip(queries.x, queries.y.tolist(), strict=True):
        _draw(x.numpy(), root / "other" / f"{y}.png")
    return root


def _draw(x: np.ndarray, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((255 * x[0]).round().astype(np.uint8)).save(path)


def adapt(source: str | Path, symbols: Path, out: Path, *words: str) -> int:
    return main(["adapt", str(source), "--support", str(symbols / "support"), "--out", str(out), *words])


def test_adapt_says_what_the_model_is_and_how_accurate_such_models_are(run, symbols, tmp_path, capsys):
    assert adapt(run, symbols, tmp_path / "five.fewstep") == 0
    first, note, accuracy, written = capsys.readouterr().out.splitlines()
    assert first.startswith("strokes-5w1s-maml adapted to 5 classes by 12 images in ")
    assert first.endswith("s: symbol0, symbol1, symbol2, symbol3, symbol4")
    assert "keeps the support set's statistics instead" in note
    assert "(95 % CI, 4 tasks × 5 queries, seed 0, support statistics, 2 steps)" in accuracy
    assert written == f"written: {tmp_path / 'five.fewstep'}"
    assert fewstep.load(tmp_path / "five.fewstep").fewstep.accuracy == accuracy.removeprefix("models made so score ")


def test_the_accuracy_is_measured_once_and_again_for_other_steps(run, symbols, tmp_path, capsys, monkeypatch):
    adapt(run, symbols, tmp_path / "five.fewstep")
    told = capsys.readouterr()
    assert told.err.startswith("measuring once, on 4 test tasks, how accurate")
    before = told.out.splitlines()[2]
    monkeypatch.setattr(measured, "evaluate", lambda *args, **options: "measured again")
    adapt(run, symbols, tmp_path / "five.fewstep")
    told = capsys.readouterr()
    assert told.out.splitlines()[2] == before
    assert "measuring" not in told.err
    adapt(run, symbols, tmp_path / "five.fewstep", "--steps", "1")
    assert capsys.readouterr().out.splitlines()[2] == "models made so score measured again"


def test_the_model_of_the_command_line_is_that_of_python(run, symbols, tmp_path):
    adapt(run, symbols, tmp_path / "five.fewstep", "--steps", "3")
    loaded, ours = fewstep.load(tmp_path / "five.fewstep"), fewstep.adapt(run, symbols / "support", steps=3)
    assert loaded.state_dict().keys() == ours.state_dict().keys()
    assert all(bool((ours.state_dict()[name] == tensor).all()) for name, tensor in loaded.state_dict().items())


def test_predict_prints_names_probabilities_and_novelty_a_line_an_image(run, symbols, tmp_path, capsys):
    adapt(run, symbols, tmp_path / "five.fewstep")
    capsys.readouterr()
    images = sorted(str(path) for path in (symbols / "other").iterdir())
    assert main(["predict", str(tmp_path / "five.fewstep"), *images, "--csv", str(tmp_path / "out.csv")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == images
    assert main(["predict", str(tmp_path / "five.fewstep"), *images, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert main(["predict", str(tmp_path / "five.fewstep"), str(symbols / "other"), "--json"]) == 0
    assert [row["class"] for row in json.loads(capsys.readouterr().out)] == [row["class"] for row in rows]
    for line, row in zip(lines, rows, strict=True):
        probability, novelty = 100 * row["probabilities"][row["class"]], row["novelty"]
        assert f"  {row['class']} {probability:.1f} %, " in line
        assert line.endswith(f"(unlike the support set: {novelty:.2f})")
        assert sum(row["probabilities"].values()) == pytest.approx(1)
    with (tmp_path / "out.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [(line["image"], line["class"]) for line in table] == [(row["image"], row["class"]) for row in rows]
    assert float(table[0]["symbol3"]) == rows[0]["probabilities"]["symbol3"]
    assert float(table[0]["novelty"]) == rows[0]["novelty"]


def test_adapt_exports_beside_the_file(run, symbols, tmp_path, capsys):
    assert adapt(run, symbols, tmp_path / "five.fewstep", "--export", "torch") == 0
    assert capsys.readouterr().out.endswith(f"written: {tmp_path / 'five.pt2'}\n")
    assert (tmp_path / "five.pt2").exists()


def test_a_packed_learner_adapts_as_its_run_does_by_path_and_by_name(run, symbols, tmp_path, capsys, monkeypatch):
    packed = tmp_path / "models" / "letters.fewstep-learner"
    packed.parent.mkdir()
    assert main(["pack", str(run), "--out", str(packed)]) == 0
    assert "4 tasks × 5 queries" in capsys.readouterr().out
    adapt(run, symbols, tmp_path / "of-run.fewstep")
    monkeypatch.setattr(learner_file, "shipped", lambda: {"letters": packed})
    monkeypatch.setattr("fewstep.trained.shipped", learner_file.shipped)
    shutil.rmtree(run)
    for source in (packed, "letters"):
        capsys.readouterr()
        assert adapt(source, symbols, tmp_path / "of-pack.fewstep") == 0
        assert "models made so score" in capsys.readouterr().out
        assert (tmp_path / "of-pack.fewstep").read_bytes() == (tmp_path / "of-run.fewstep").read_bytes()
    assert adapt("leters", symbols, tmp_path / "none.fewstep") == 1
    told = capsys.readouterr().err
    assert "leters is no run folder, no learner file and no learner's name: the package has letters for images" in told


def test_what_a_run_folder_holds_is_read_without_its_data_and_is_what_its_experiment_holds(run, tmp_path):
    whole = experiment.trained(experiment.load(run, data_root=tmp_path))
    assert identical(read_trained(run).learner.meta, whole.meta)


def test_where_the_data_are_not_at_hand_the_accuracy_is_said_not_to_be_measured(tmp_path, symbols, capsys):
    source = shutil.copytree(RESULTS / "omniglot-5w1s-fast", tmp_path / "fast")
    assert adapt(source, symbols, tmp_path / "five.fewstep", "--data-root", str(tmp_path)) == 0
    assert f"not measured: the data of {source} are not in {tmp_path}" in capsys.readouterr().out
    assert fewstep.load(tmp_path / "five.fewstep").fewstep.accuracy == ""


def test_under_another_policy_the_accuracy_is_that_of_the_runs_own_result(tmp_path):
    copied = Path(shutil.copytree(RESULTS / "course-5w1s-mamlpp", tmp_path / "run"))
    assert measured.accuracy_of(copied, tmp_path).line.startswith("64.32 ± 1.25 % (95 % CI, 1000 tasks × 5 queries")
    (copied / "result.json").unlink()
    line, why_not = measured.accuracy_of(copied, tmp_path)
    assert (line, why_not) == ("", f"{copied} has not been tested yet; `fewstep resume {copied}` does it")


def test_wrong_sources_supports_and_files_are_errors_that_say_what_was_expected(run, symbols, tmp_path, capsys):
    def said(*words: str | Path) -> str:
        assert main([str(word) for word in words]) == 1
        return capsys.readouterr().err

    out = tmp_path / "out.fewstep"
    assert "there is no" in said("adapt", tmp_path, "--support", symbols, "--out", out)
    four = shutil.copytree(symbols / "support", tmp_path / "four")
    shutil.rmtree(four / "symbol0")
    assert "has 4 classes, this learner tells 5 apart" in said("adapt", run, "--support", four, "--out", out)
    assert not out.exists()
    assert "predict needs images" in said("predict", out)
    assert f"there is no file {out}" in said("predict", out, symbols / "other" / "0.png")
    save_file({}, out, metadata={"fewstep": "{}"})
    assert "expected fewstep's learner" in said("adapt", out, "--support", symbols, "--out", out)


@pytest.mark.omniglot
def test_a_foreign_symbol_of_omniglot_is_more_unlike_the_support_set_than_further_drawings_of_its_symbols(
    real_data, tmp_path
):
    """Over 6 tasks of 5 symbols and a foreign one; novelty of unknown symbols has mean ½, that of known ones is low."""
    with zipfile.ZipFile(real_data / "omniglot" / "images_evaluation.zip") as archive:
        names = [name for name in archive.namelist() if name.endswith("_01.png")]
        chosen = np.random.default_rng(0).permutation(len(names))[: 6 * 6]
        drawings = [
            [archive.read(names[i].replace("_01.png", f"_{drawer:02d}.png")) for drawer in (1, 5)] for i in chosen
        ]
    known, foreign = [], []
    for task in range(6):
        six = drawings[6 * task : 6 * task + 6]
        for i, (first, second) in enumerate(six):
            (tmp_path / f"{task}" / f"symbol{i}").mkdir(parents=True)
            if i < 5:
                (tmp_path / f"{task}" / f"symbol{i}" / "1.png").write_bytes(first)
            (tmp_path / f"{task}" / f"{i}.png").write_bytes(second)
        model = fewstep.adapt(RESULTS / "omniglot-5w1s-fast", tmp_path / f"{task}")
        scores = [one.novelty for one in model.fewstep.predict([tmp_path / f"{task}" / f"{i}.png" for i in range(6)])]
        known += scores[:5]
        foreign += scores[5:]
    assert np.mean(foreign) > 0.3 > 0.2 > np.mean(known)
    assert np.mean(np.array(foreign)[:, None] > np.array(known)) > 0.85
