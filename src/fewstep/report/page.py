"""One self-contained HTML page that shows all of a run: result, curves, pictures, audit, recipe."""

from collections.abc import Sequence
from pathlib import Path

from fewstep.durable import replace_file
from fewstep.experiment import Experiment
from fewstep.journal import METRICS, Row, read_metrics
from fewstep.learner import Learner
from fewstep.recipe import to_json
from fewstep.report import adaptation, contents, curves, sheet
from fewstep.report.picture import Picture
from fewstep.report.reproduce import fields, resume_command, train_command
from fewstep.report.template import template
from fewstep.result_file import read_result
from fewstep.run_folder import read_header
from fewstep.tasks.sinusoid import Sinusoid

REPORT = "report.html"


def write(experiment: Experiment, learner: Learner) -> Path:
    """Draw the figures of a run folder and write its page, finished or not; returns the page's path.

    `learner` is the selected one: it makes the predictions that are shown.
    """
    folder = experiment.folder
    rows = read_metrics(folder / METRICS)
    result = read_result(folder)
    updates = max((int(row["update"]) for row in rows), default=0)
    page = template("page.html.jinja").render(
        recipe=experiment.recipe,
        lines=contents.result_lines(result),
        steps=contents.step_scores(result),
        metric="accuracy" if learner.model.is_classifier else "mean squared error",
        status=contents.status(experiment.recipe.training.updates, result, updates),
        facts=contents.facts(experiment, result, rows, updates),
        pictures=_pictures(experiment, learner, rows),
        card=experiment.card,
        data=contents.data_tables(experiment.built.splits.summary),
        train=train_command(experiment),
        resume=resume_command(folder, experiment.begun_with),
        fields=fields(to_json(experiment.recipe)),
        versions=read_header(folder)["versions"],
    )
    replace_file(folder / REPORT, page.encode())
    return folder / REPORT


def _pictures(experiment: Experiment, learner: Learner, rows: Sequence[Row]) -> list[Picture]:
    """The figures that this run allows: no curves before the first update, pictures of tasks we know how to draw."""
    found = [_curves(experiment, learner, rows)] if any(row["kind"] == "train" for row in rows) else []
    if isinstance(experiment.built.splits.test, Sinusoid):
        return [*found, _adaptation(experiment, learner, experiment.built.splits.test)]
    inputs = experiment.built.splits.test.inputs
    if learner.model.is_classifier and len(inputs) == 3 and inputs[0] in (1, 3):
        return [*found, _sheet(experiment, learner)]
    return found


def _curves(experiment: Experiment, learner: Learner, rows: Sequence[Row]) -> Picture:
    recipe, is_classifier = experiment.recipe, learner.model.is_classifier
    path = curves.draw(rows, "accuracy" if is_classifier else "mse", experiment.folder / "curves.png")
    validations = [row for row in rows if row["kind"] == "validation" and row["score"] is not None]
    told = f"; the last validation is {validations[-1]['score']:.4g}" if validations else ""
    return Picture(
        path,
        "Training",
        f"Training: the queries of each update's {recipe.training.meta_batch} tasks, after "
        f"{_steps(recipe.algorithm.inner_steps)}. Validation: {recipe.training.validation_tasks} tasks, after "
        f"{_steps(recipe.evaluation.steps)}.",
        f"{'Loss and accuracy' if is_classifier else 'Mean squared error'} over {rows[-1]['update']} updates{told}.",
    )


def _adaptation(experiment: Experiment, learner: Learner, tasks: Sinusoid) -> Picture:
    evaluation = experiment.recipe.evaluation
    path = adaptation.draw(tasks, learner, evaluation, experiment.folder / "adaptation.png")
    rate = "" if evaluation.inner_lr is None else f", at the evaluation's inner rate of {evaluation.inner_lr:g}"
    return Picture(
        path,
        "Adaptation",
        f"The first test tasks: the learner's curve after 0, 1, 5 and 10 inner steps{rate}. "
        f"The mean squared error is over the whole curve.",
        "Curves fitted to four sinusoids from a few support points each, closer to the truth with every inner step.",
    )


def _sheet(experiment: Experiment, learner: Learner) -> Picture:
    evaluation = experiment.recipe.evaluation
    path = sheet.draw(experiment.built.splits.test, learner, evaluation, experiment.folder / "tasks.png")
    together = ", the queries of a task forwarded together" if learner.model.is_transductive else ""
    return Picture(
        path,
        "Test tasks",
        f"The first test tasks, after {_steps(evaluation.steps)}{together}: the predicted label, its probability, "
        f"and the true label where it is another.",
        "Support images with their labels beside query images, each marked ✓ or ✗ with the label predicted.",
        is_photo=True,
    )


def _steps(count: int) -> str:
    return "1 inner step" if count == 1 else f"{count} inner steps"
