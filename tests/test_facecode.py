"""The face code: packing laws, order of the vector, batches."""

import pickle

import numpy as np
import pytest
import torch

from mien.facecode import ARKIT_NAMES, CodeLayout, FaceCode
from tiny_face import tiny_code, tiny_face


@pytest.mark.parametrize("batch", [(), (3,), (2, 4)])
def test_vector_and_parts_are_inverse(batch):
    code = tiny_code(1, batch)
    vector = code.to_vector()
    assert vector.shape == (*batch, code.layout.size)
    again = FaceCode.from_vector(vector, code.layout, code.model)
    for name, shape in code.layout.shapes.items():
        assert getattr(again, name).shape == (*batch, *shape)
        np.testing.assert_array_equal(getattr(again, name), getattr(code, name))
    np.testing.assert_array_equal(again.to_vector(), vector)


def test_order_of_the_vector():
    layout = CodeLayout(identity=2, expression=3, albedo=1)
    code = FaceCode.from_vector(np.arange(layout.size), layout, "any/1")
    assert layout.size == 40
    assert code.identity.tolist() == [0, 1]
    assert code.expression.tolist() == [2, 3, 4]
    assert code.albedo.tolist() == [5]
    assert code.rotation.tolist() == [6, 7, 8]
    assert code.translation.tolist() == [9, 10, 11]
    assert code.illumination[1].tolist() == [15, 16, 17]
    assert code.focal_px == 39


def test_a_vector_of_another_length_is_an_error():
    with pytest.raises(ValueError, match=r"vector has 5 numbers, a code of tiny/1 has 97"):
        FaceCode.from_vector(np.zeros(5), tiny_face().layout, "tiny/1")


def test_torch_codes_pack_with_gradients():
    layout = CodeLayout(1, 2, 1)
    vector = torch.randn(2, layout.size, dtype=torch.float64, requires_grad=True)
    torch.autograd.gradcheck(lambda v: FaceCode.from_vector(v, layout, "any/1").to_vector(), vector)


def test_indexing_replacing_and_pickling():
    batch = tiny_code(2, (3,))
    one = batch[1].with_(rotation=np.zeros(3, np.float32))
    np.testing.assert_array_equal(one.identity, batch.identity[1])
    assert not one.rotation.any()
    assert batch.rotation[1].any()
    again = pickle.loads(pickle.dumps(batch))
    np.testing.assert_array_equal(again.to_vector(), batch.to_vector())


def test_arkit_names():
    assert len(set(ARKIT_NAMES)) == 52
    left = {
        name[:-4] for name in ARKIT_NAMES if name.endswith("Left") and name not in ("jawLeft", "mouthLeft")
    }
    right = {
        name[:-5] for name in ARKIT_NAMES if name.endswith("Right") and name not in ("jawRight", "mouthRight")
    }
    assert left == right
