"""Creases: on the side of what makes them, mirror images of each other, none without a cause."""

import numpy as np
from numpy.testing import assert_allclose, assert_array_equal

from mien.facecode import ARKIT_NAMES
from mien.morphable import load_model
from mien.synthesis.creases import CREASES, crease_shades, random_depths


def _doing(**coefficients: float) -> np.ndarray:
    return np.array([[coefficients.get(name, 0.0) for name in ARKIT_NAMES]])


def _mean_depths(expression: np.ndarray) -> np.ndarray:
    """(2, C) right before left, over many people."""
    depths = random_depths(np.random.default_rng(0), np.repeat(expression, 4000, axis=0))
    return depths.mean(0).reshape(2, -1)


def test_left_creases_are_the_mirror_of_right_ones():
    model = load_model()
    right, left = np.split(crease_shades(model), 2)
    assert_array_equal(right[:, model.mirror], left)
    x = model.identity_mean[:, 0]
    assert all(shade[x < -3].max() > 0.3 and shade[x > 12].max() < 0.1 for shade in right)


def test_a_crease_darkens_a_line_and_lightens_its_flanks_and_leaves_the_eyes():
    model = load_model()
    shades = crease_shades(model)
    assert shades.max(1).min() > 0.3 and shades.min() < -0.05
    assert not shades[:, np.asarray(model.part) != model.part_names.index("skin")].any()


def test_a_crease_deepens_on_the_side_that_acts_and_where_that_action_makes_one():
    rest, sneer = _mean_depths(_doing()), _mean_depths(_doing(noseSneerRight=1.0))
    root, forehead = (list(CREASES).index(name) for name in ("root of the nose", "forehead"))
    assert sneer[0, root] > 3 * sneer[1, root]
    assert_allclose(sneer[:, forehead], rest[:, forehead], rtol=0.2)
    assert _mean_depths(_doing(browInnerUp=1.0))[:, forehead].min() > 3 * rest[:, forehead].max()


def test_people_differ():
    depths = random_depths(np.random.default_rng(1), np.repeat(_doing(browInnerUp=1.0), 500, axis=0))
    deepest = depths.max(1)
    assert np.quantile(deepest, 0.1) < 0.2 < 0.8 < np.quantile(deepest, 0.9)
