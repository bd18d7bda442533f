"""The geometry of pen strokes: turtle paths, the curves through them, their attachment, and ink on paper.

Shapes: C characters, D drawers, S strokes, K control points, P samples of a curve, N pictures.
"""

import math

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

TURNS = 12  # a stroke is a turtle's path of twelve steps, with a turn before each
CONTROLS = TURNS + 1
SAMPLES_PER_STEP = 5
SAMPLES = TURNS * SAMPLES_PER_STEP + 1
OVERSAMPLING = 4  # ink is laid on a canvas this many times finer than the picture


def path(turns_degrees: Floats) -> Floats:
    """Control points [..., K, 2] (x right, y down) of turtles that turn [..., TURNS] before each unit step.

    The longer side of each path's bounding box is 1 and its middle is the origin.
    """
    heading = np.radians(np.cumsum(turns_degrees, axis=-1))
    steps = np.stack([np.cos(heading), np.sin(heading)], axis=-1)
    points = np.concatenate([np.zeros_like(steps[..., :1, :]), np.cumsum(steps, axis=-2)], axis=-2)
    low, high = points.min(axis=-2, keepdims=True), points.max(axis=-2, keepdims=True)
    centred: Floats = (points - (low + high) / 2) / (high - low).max(axis=-1, keepdims=True)
    return centred


def curve(controls: Floats, roundness: Floats) -> Floats:
    """Samples [..., P, 2] through controls [..., K, 2]; roundness [...]: 0 is a polyline, 1 a Catmull-Rom spline."""
    polyline, spline = _polyline @ controls, _spline @ controls
    blend: Floats = polyline + roundness[..., None, None] * (spline - polyline)
    return blend


def _polyline_weights() -> Floats:
    """[P, K]: linear interpolation between control points."""
    at = np.arange(SAMPLES) / SAMPLES_PER_STEP
    weights: Floats = np.clip(1 - np.abs(at[:, None] - np.arange(CONTROLS)), 0, None)
    return weights


def _spline_weights() -> Floats:
    """[P, K]: the Catmull-Rom spline, with a mirrored control point beyond either end."""
    eye = np.eye(CONTROLS)
    padded = np.vstack([2 * eye[0] - eye[1], eye, 2 * eye[-1] - eye[-2]])
    step = np.minimum(np.arange(SAMPLES) // SAMPLES_PER_STEP, TURNS - 1)
    t = (np.arange(SAMPLES) / SAMPLES_PER_STEP - step)[:, None]
    before, start, end, after = (padded[step + offset] for offset in range(4))
    linear, square = end - before, 2 * before - 5 * start + 4 * end - after
    weights: Floats = start + (t * linear + t**2 * square + t**3 * (3 * (start - end) + after - before)) / 2
    return weights


_polyline, _spline = _polyline_weights(), _spline_weights()


def attach(strokes: Floats, parent: Integers, parent_at: Floats, own_at: Floats, gap: Floats) -> Floats:
    """Each stroke moved so that its point `own_at` lies on the point `parent_at` of an earlier stroke.

    strokes [C, D, S, P, 2]; parent [C, S], parent[:, s] < s; parent_at and own_at [C, D, S], from 0 (a curve's
    start) to 1 (its end); gap [C, D, S, 2] is added, for strokes that do not touch. Stroke 0 stays where it is.
    """
    placed: Floats = strokes.copy()
    parent_sample, own_sample = _sample(parent_at), _sample(own_at)
    c, d = np.ogrid[: strokes.shape[0], : strokes.shape[1]]
    for s in range(1, strokes.shape[2]):
        joint = placed[c, d, parent[:, s, None], parent_sample[..., s]] + gap[:, :, s]
        own = strokes[c, d, s, own_sample[..., s]]
        placed[:, :, s] += (joint - own)[:, :, None]
    return placed


def _sample(at: Floats) -> Integers:
    nearest: Integers = np.rint(np.clip(at, 0, 1) * (SAMPLES - 1)).astype(np.int64)
    return nearest


def bounds(points: Floats) -> tuple[Floats, Floats]:
    """The middle and the sides [..., 2] of the bounding box of points [..., S, P, 2]."""
    across = np.ascontiguousarray(np.moveaxis(points, -1, 0))  # numpy reduces long contiguous rows the fastest
    low, high = (np.moveaxis(side(axis=(-2, -1)), 0, -1) for side in (across.min, across.max))
    return (low + high) / 2, high - low


def keep_inside(points: Floats, margin: float) -> Floats:
    """Drawings [..., S, P, 2] shrunk and shifted, where they must be, to lie in [margin, 1 - margin]."""
    middle, sides = bounds(points)
    shrink = np.minimum(1, (1 - 2 * margin) / np.maximum(sides.max(axis=-1, keepdims=True), 1e-9))
    reach = margin + sides * shrink / 2
    moved = np.clip(middle, reach, 1 - reach)
    inside: Floats = (points - _spread(middle)) * _spread(shrink) + _spread(moved)
    return inside


def _spread(values: Floats) -> Floats:
    return values[..., None, None, :]


def ink(points: Floats, pen_radius: Floats, size: int) -> npt.NDArray[np.uint8]:
    """Pictures [N, size, size], 255 white and 0 black, of pens [N] that went through points [N, L, 2].

    Points and radii are in units of the picture's side; the pen must stay inside the picture.
    """
    assert points.min() > pen_radius.max()
    assert points.max() < 1 - pen_radius.max()
    fine = size * OVERSAMPLING
    canvas = np.zeros((len(points), fine, fine), dtype=bool)
    column, row = np.moveaxis(np.floor(points * fine).astype(np.intp), -1, 0)
    centre = (np.arange(len(points))[:, None] * fine + row) * fine + column
    reach = math.floor(pen_radius.max() * fine)
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            covered = pen_radius * fine >= math.hypot(dx, dy)
            canvas.reshape(-1)[centre[covered] + (dy * fine + dx)] = True
    return _shrink(canvas, size)


def _shrink(canvas: npt.NDArray[np.bool_], size: int) -> npt.NDArray[np.uint8]:
    """The mean of every OVERSAMPLING x OVERSAMPLING block, as a grey."""
    fine = canvas.view(np.uint8).reshape(len(canvas), size, OVERSAMPLING, -1)
    columns = np.zeros(fine[:, :, 0].shape, dtype=np.uint16)
    covered = np.zeros((len(canvas), size, size), dtype=np.uint16)
    for i in range(OVERSAMPLING):  # numpy adds whole slices faster than it sums short axes
        columns += fine[:, :, i]
    for i in range(OVERSAMPLING):
        covered += columns[:, :, i::OVERSAMPLING]
    return (255 - covered * 255 // OVERSAMPLING**2).astype(np.uint8)
