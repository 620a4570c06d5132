"""The face file: what is written comes back to the last bit, and no JSON whatever makes it stumble."""

import copy
import json
from dataclasses import replace

import numpy as np
import pytest

from mien.errors import BadFaceFile, CannotWrite, MienError, UnreadableInput
from mien.facecode import FaceCode
from mien.facefile import EXPRESSIONS, Face, Reading, load_face, save_face
from tiny_face import tiny_code, tiny_face


def a_face(seed: int = 0, **changes) -> Face:
    """A face with numbers that no decimal rounding survives."""
    rng = np.random.default_rng(seed)
    model = tiny_face()
    vector = tiny_code(seed).to_vector() * (1 + rng.random(model.layout.size) * 1e-9)
    face = Face(
        code=FaceCode.from_vector(vector.astype(np.float64), model.layout, model.id),
        principal_px=rng.random(2) * 400,
        image_size=(640, 480),
        source_file='фото/"a" b\n.jpg',
        box_px=np.array([-3.25, 1e-17, 1 / 3, 500.0]),
        landmarks68_px=rng.normal(size=(68, 2)) * 1e3,
    )
    return replace(face, **changes)


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "a.face.json"
    save_face(a_face(), path)
    return path


def load(path):
    return load_face(path, tiny_face())


def test_the_same_numbers_come_back(tmp_path):
    for seed in range(5):
        face = a_face(seed)
        save_face(face, tmp_path / "a.face.json")
        again = load(tmp_path / "a.face.json")
        assert again.code.model == face.code.model
        np.testing.assert_array_equal(again.code.to_vector(), face.code.to_vector())
        for field in ("principal_px", "box_px", "landmarks68_px"):
            np.testing.assert_array_equal(getattr(again, field), getattr(face, field))
        assert (again.image_size, again.source_file) == (face.image_size, face.source_file)
        assert again.expression is None
        assert {a.dtype for a in (again.code.identity, again.box_px, again.code.focal_px)} == {np.dtype("f8")}


def test_a_reading_comes_back(tmp_path):
    reading = Reading("fear", dict.fromkeys(EXPRESSIONS, 1 / 7), 0.1)
    save_face(a_face(expression=reading), tmp_path / "a.face.json")
    assert load(tmp_path / "a.face.json").expression == reading


def test_the_file_is_of_the_documented_schema(saved):
    document = json.loads(saved.read_text(encoding="utf-8"))
    assert list(document) == ["schema", "model", "code", "camera", "source", "landmarks68_px", "expression"]
    assert document["schema"] == "mien.face/1"
    assert list(document["camera"]) == ["focal_px", "principal_px", "image_size"]
    assert list(document["source"]) == ["file", "box_px"]
    assert np.shape(document["code"]["illumination"]) == (9, 3)


def test_a_face_with_nan_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        save_face(a_face(principal_px=np.array([np.nan, 0])), tmp_path / "a.face.json")
    assert not list(tmp_path.iterdir())


def test_a_face_that_cannot_be_written(tmp_path):
    with pytest.raises(CannotWrite):
        save_face(a_face(), tmp_path / "missing" / "a.face.json")


def rewrite(path, *keys_and_value):
    """Replaces one place of the document in `path`."""
    *keys, last, value = keys_and_value
    document = json.loads(path.read_text())
    place = document
    for key in keys:
        place = place[key]
    place[last] = value
    path.write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("schema", "mien.face/2"), r'schema: expected "mien.face/1", but it is "mien.face/2"'),
        (("model", "tiny/2"), r'model: expected "tiny/1", but it is "tiny/2"'),
        (("code", "identity", [0.0] * 7), r"code.identity: expected a list of 6 numbers, but it has 7"),
        (("code", "albedo", 3, float("nan")), r"code.albedo\[3\]: expected a finite number"),
        (("code", "albedo", 3, float("-inf")), r"code.albedo\[3\]: expected a finite number"),
        (("code", "rotation", 1, None), r"code.rotation\[1\]: expected a number, but it is null"),
        (("code", "translation", 1, "5"), r'code.translation\[1\]: expected a number, but it is "5"'),
        (("code", "expression", 0, True), r"code.expression\[0\]: expected a number, but it is true"),
        (
            ("code", "illumination", 2, [1, 2]),
            r"illumination\[2\]: expected a list of 3 numbers, but it has 2",
        ),
        (
            ("code", "illumination", [0.0] * 27),
            r"code.illumination: expected a list of 9 lists, but it has 27",
        ),
        (("code", "extra", 1), r'code: expected no fields but .*, but there is "extra"'),
        (("camera", "focal_px", 0), r"camera.focal_px: expected a number above 0, but it is 0"),
        (("camera", "image_size", [640.5, 480]), r"camera.image_size: expected whole numbers"),
        (("source", "file", 7), r"source.file: expected a string, but it is 7"),
        (("landmarks68_px", 67, 0, 10**400), r"landmarks68_px\[67\]\[0\]: .* but it is a very large number"),
        (("expression", {"label": "joy"}), r"expression.probabilities: expected to be there"),
    ],
)
def test_each_fault_is_named_with_its_place(saved, change, message):
    rewrite(saved, *change)
    with pytest.raises(BadFaceFile, match=message) as caught:
        load(saved)
    assert str(caught.value).startswith(f"{saved}: ")
    assert "mien reconstruct" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "data",
    [
        b"", b" \n", b"{", b"nonsense", b"\xff\xfe{}", b"[]", b"null", b"3", b'"mien.face/1"', b"NaN", b"{}",
        b"[" * 100_000, b'{"schema": "mien.face/1", "schema": "mien.face/1"}', b"\x00", b"1" * 5000,
        b'\xef\xbb\xbf{"schema": "mien.face/1"}',
    ],
)  # fmt: skip
def test_files_that_are_no_face_files(tmp_path, data):
    path = tmp_path / "a.face.json"
    path.write_bytes(data)
    with pytest.raises(BadFaceFile) as caught:
        load(path)
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "huge.face.json").write_bytes(b" " * (1 << 21))
    for name in ("missing.face.json", ".", "huge.face.json", "\0"):
        with pytest.raises(UnreadableInput):
            load(tmp_path / name)


JUNK = [None, True, "x", "\ud800", -1, 0.5, 1e308, 10**4000, [], [[]], {}, {"": 0}, float("nan"), [1] * 3]


def places(value, path=()):
    """Every place of a JSON document; of a long list the first and the last item."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    items = list(items)
    for key, item in items if isinstance(value, dict) else items[:1] + items[-1:]:
        yield from places(item, (*path, key))


def test_no_mutation_whatever_causes_another_error(tmp_path):
    """Every place of the document is replaced by junk, removed, and given a companion."""
    path = tmp_path / "a.face.json"
    save_face(a_face(expression=Reading("anger", dict.fromkeys(EXPRESSIONS, 0.5), 1.0)), path)
    original = json.loads(path.read_text())

    def check(document):
        path.write_text(json.dumps(document, ensure_ascii=True))
        try:
            face = load(path)
        except MienError as error:
            str(error).encode()
            assert "\n" not in str(error)
        else:
            assert np.isfinite(face.code.to_vector()).all() and np.isfinite(face.landmarks68_px).all()

    for *parents, key in list(places(original))[1:]:
        for junk in (*JUNK, "removed", "doubled"):
            document = copy.deepcopy(original)
            place = document
            for parent in parents:
                place = place[parent]
            if junk == "removed":
                del place[key]
            elif junk == "doubled" and isinstance(place, list):
                place.append(place[key])
            elif junk == "doubled":
                place[key + "\n"] = place[key]
            else:
                place[key] = junk
            check(document)
    for junk in JUNK:
        check(junk)
