"""The adapted model as a product: the user's own net, and beside it what is needed to use it, `net.fewstep`."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from fewstep.core import Examples
from fewstep.exporting import Kind, export
from fewstep.learner import Learner
from fewstep.nets.norm import Norm
from fewstep.novelty import Reference, nearest_distances, novelty
from fewstep.rebuilding import rebuilt
from fewstep.tasks.preprocessing import Preprocessing
from fewstep.tensor_file import write_tensors
from fewstep.versions import versions

logger = logging.getLogger(__name__)

MOST_LEFT_OUT = 20
"""Classes that are left out to measure novelty by: each costs an adaptation."""


class Prediction(NamedTuple):
    """The likeliest class of an image, the probability of every class, likeliest first, and how unlike all it is.

    `novelty`, in [0, 1]: as near as this image to some support example lies this share of images of unknown classes
    (`fewstep.novelty`); None where the support set was too small to measure it.
    """

    name: str
    probabilities: dict[str, float]
    novelty: float | None


@dataclass(frozen=True, kw_only=True)
class Adapted:
    """What there is to know of an adapted net `module`, whose attribute `fewstep` this is."""

    module: nn.Module = field(repr=False)
    classes: tuple[str, ...]
    """the names of the outputs; empty where they are values"""
    inputs: tuple[int, ...]
    """the shape of one input"""
    preprocessing: Preprocessing | None
    """what an image file goes through; None where inputs are no image files"""
    norm: Norm
    head: str | None
    reference: Reference = field(repr=False)
    net: dict[str, Any] | None = None
    """the net's part of its recipe, from which `fewstep.load` builds it; None for a net that came without"""
    note: str = ""
    """how this model differs from the learner, where it does"""
    accuracy: str = ""
    """what the learner scored on test tasks, predicting as this model does; empty where it was not measured"""

    def predict(self, images: str | Path | Sequence[str | Path] | Tensor) -> list[Prediction]:
        """What image files, or inputs `[M, *inputs]`, are.

        Raises `ValueError` where the outputs are no classes or a file does not decode.
        """
        if not self.classes:
            raise ValueError("this model's outputs are values, not classes: call it as any nn.Module, model(x)")
        outputs, embeddings = outputs_and_embeddings(self.module, self.head, self._inputs(images))
        unlike = novelty(self.reference, embeddings)
        scores = [None] * len(outputs) if unlike is None else unlike.tolist()
        return [self._prediction(row, score) for row, score in zip(outputs.double().softmax(-1), scores, strict=True)]

    def save(self, path: str | Path) -> None:
        """Write the model as one file, which `fewstep.load` reads: tensors and JSON, nothing that is executed.

        Raises `OSError` where that fails.
        """
        header = {
            "classes": self.classes,
            "inputs": self.inputs,
            "preprocessing": None if self.preprocessing is None else vars(self.preprocessing),
            "norm": self.norm,
            "head": self.head,
            "net": self.net,
            "net class": type(self.module).__qualname__,
            "note": self.note,
            "accuracy": self.accuracy,
            "versions": versions(),
        }
        tensors = {f"net/{name}": value for name, value in self.module.state_dict().items()}
        novel = {f"novelty/{name}": value for name, value in self.reference._asdict().items()}
        write_tensors(Path(path), "adapted model", header, {**tensors, **novel})

    def export(self, kind: Kind, path: str | Path) -> None:
        """Write the net as `onnx`, or as the program of torch.export that `torch` loads, for batches of any size.

        The written file is run, and its outputs compared with the net's. Raises `ValueError` where they differ or
        the net cannot be exported, and for `onnx` without `pip install "fewstep[onnx]"`.
        """
        export(self.module, self.inputs, kind, Path(path))

    def _inputs(self, images: str | Path | Sequence[str | Path] | Tensor) -> Tensor:
        like = next(self.module.parameters())
        if isinstance(images, Tensor):
            return images.to(like)
        if self.preprocessing is None:
            raise ValueError("this model was not trained on image files, so none can be read: give inputs, a tensor")
        files = [images] if isinstance(images, str | Path) else images
        return self.preprocessing.read([Path(file) for file in files]).to(like)

    def _prediction(self, probabilities: Tensor, unlike: float | None) -> Prediction:
        by_name = dict(zip(self.classes, probabilities.tolist(), strict=True))
        ordered = dict(sorted(by_name.items(), key=lambda item: -item[1]))
        return Prediction(next(iter(ordered)), ordered, unlike)


def adapt(
    learner: Learner,
    support: Examples,
    *,
    steps: int | None = None,
    classes: Sequence[str] | None = None,
    preprocessing: Preprocessing | None = None,
    net: dict[str, Any] | None = None,
    accuracy: str = "",
) -> nn.Module:
    """The learner's net adapted to `support`, in evaluation mode: the user's own class and parameter names.

    Batch norms hold the statistics of the support set at the adapted parameters, so each prediction is its own;
    under the policy `support` that is exactly how the learner was trained. Under `running` and `per_step` they hold
    what training accumulated; under `group`, `layer` and `none` the batch norms are replaced, their names kept.
    `support.x: [N, *input]`; `support.y: [N]` class ids, or `[N, D]` values; the classes' names are their ids unless
    given. The net's attribute `fewstep` is an `Adapted`, which predicts with names, saves and exports.

    Raises `ValueError` where the support set does not fit the learner: classes, labels.
    """
    note, alone = "", learner.each_alone()
    if alone is not learner:
        note = (
            "trained under the norm policy 'transductive', where predictions depend on one another; this model keeps "
            "the support set's statistics instead, so that each is its own"
        )
        logger.info("%s", note)
    learner = alone.for_evaluation()
    support = Examples(*(tensor.to(learner.device) for tensor in support))
    names = _class_names(learner, support, classes)
    module = _module(learner, support, steps)
    module.fewstep = Adapted(  # type: ignore[assignment]  # torch's stub knows tensors and modules alone
        module=module,
        classes=names,
        inputs=tuple(support.x.shape[1:]),
        preprocessing=preprocessing,
        norm=learner.model.norm,
        head=learner.model.head,
        reference=_reference(learner, module, support, steps),
        net=net,
        note=note,
        accuracy=accuracy,
    )
    return module


def outputs_and_embeddings(net: nn.Module, head: str | None, x: Tensor) -> tuple[Tensor, Tensor]:
    """What the net returns for `x`, and what its head took in, `[N, E]`; the outputs again where it has no head."""
    seen: list[Tensor] = []
    layer = net.get_submodule(head) if head is not None else net
    hook = layer.register_forward_pre_hook(lambda layer, inputs: seen.append(inputs[0])) if head is not None else None
    try:
        with torch.no_grad():
            outputs: Tensor = net(x)
    finally:
        if hook is not None:
            hook.remove()
    return outputs, (seen[-1] if seen else outputs).flatten(1)


def _class_names(learner: Learner, support: Examples, given: Sequence[str] | None) -> tuple[str, ...]:
    """The names of the outputs, once the labels are seen to fit the learner."""
    if not learner.model.is_classifier:
        return ()
    if support.y.is_floating_point() or support.y.dim() != 1 or len(support.y) != len(support.x):
        raise ValueError(f"support.y has shape {list(support.y.shape)} of {support.y.dtype}, expected a class id each")
    present = sorted(set(support.y.tolist()))
    if present != list(range(len(present))):
        raise ValueError(f"the support set has class ids {present}, expected 0, 1, ... with an example of every class")
    names = [str(label) for label in present] if given is None else list(given)
    if len(names) != len(present):
        raise ValueError(f"{len(names)} names of classes for a support set of {len(present)} classes: {names}")
    if not learner.algorithm.makes_head:
        with torch.no_grad():
            width = learner.model.support_outputs(learner.model.parameters(), support.x).shape[1]
        if len(names) != width:
            raise ValueError(
                f"the support set has {len(names)} classes, this learner tells {width} apart: the head of "
                f"{type(learner.algorithm).__name__} has a fixed width; give {width} classes, or train with an "
                f"algorithm that makes a head for each task"
            )
    return tuple(names)


def _module(learner: Learner, support: Examples, steps: int | None) -> nn.Module:
    phi = {name: value.detach() for name, value in learner.adapt(support, steps).items()}
    return rebuilt(learner.model.net, learner.model.norm, learner.model.head, phi)


def _reference(learner: Learner, module: nn.Module, support: Examples, steps: int | None) -> Reference:
    """Adapt to the support set less one class after the other; values are classes of one example each."""
    head = learner.model.head
    embeddings = outputs_and_embeddings(module, head, support.x)[1]
    labels = support.y if learner.model.is_classifier else torch.arange(len(support.x), device=support.x.device)
    left_out = [embeddings.new_zeros(0)]
    for label in sorted(set(labels.tolist()))[:MOST_LEFT_OUT]:
        kept = labels != label
        if int(kept.sum()) < 2:
            continue
        y = support.y[kept]
        if learner.algorithm.makes_head:
            y = y - (y > label).to(y)  # heads are made for ids 0, 1, ...
        without = _module(learner, Examples(support.x[kept], y), steps)
        seen = outputs_and_embeddings(without, head, support.x)[1]
        left_out.append(nearest_distances(seen[~kept], seen[kept]))
    return Reference(embeddings, torch.cat(left_out).sort().values)
