"""The command line on good and bad input: exit status, one line an error, other inputs done, nothing half."""

import json
import os
import resource
import subprocess
import sys
import zlib
from functools import partialmethod
from pathlib import Path

import numpy as np
import pytest

import mien.cli.reconstruct
from mien import assets
from mien.camera import Camera, project, to_camera
from mien.cli import main
from mien.cli.inputs import expand, stem_of
from mien.detect import DetectedFace
from mien.errors import MissingLibrary, UnreadableInput
from mien.image import save_png
from mien.reconstruction import Reconstruction
from tiny_face import tiny_code, tiny_face

SIZE = 96


def tiny_faces_in(image: np.ndarray, max_faces: int = 8) -> list[DetectedFace]:
    """Stands for the detector: finds as many tiny faces as the red of the first pixel says, in tenths."""
    model, faces = tiny_face(), []
    for seed in range(min(max_faces, round(float(image[0, 0, 0]) * 10))):
        code = tiny_code(seed)
        vertices = to_camera(model.vertices(code.identity, code.expression), code.rotation, code.translation)
        points = project(model.landmarks478(vertices), Camera(code.focal_px, [SIZE / 2] * 2, (SIZE, SIZE)))
        box = (*points[:, :2].min(axis=0), *points[:, :2].max(axis=0))
        faces.append(DetectedFace(np.asarray(points, np.float64), np.zeros(52), box, 1.0))
    return faces


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """An empty working folder, the tiny model for the default one, and a detector that finds its faces."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("mien.reconstruction.load_model", lambda name: tiny_face())
    monkeypatch.setattr("mien.cli.models.model_names", lambda: ["anny"])
    monkeypatch.setattr("mien.detect.detect_faces", tiny_faces_in)
    monkeypatch.setattr(Reconstruction, "overlay", partialmethod(Reconstruction.overlay, height=32))
    monkeypatch.setattr(Reconstruction, "texture", partialmethod(Reconstruction.texture, size=64))
    return tmp_path


def photo(path: str, faces: int = 1) -> str:
    """A picture in which the stand-in for the detector finds that many faces."""
    image = np.random.default_rng(0).uniform(0.3, 0.6, (SIZE, SIZE, 3)).astype(np.float32)
    image[0, 0] = faces / 10
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    save_png(path, image)
    return path


def run(capsys, *arguments: str) -> tuple[int, list[str], list[str]]:
    """Exit status, lines on standard output and on standard error of `mien reconstruct`."""
    status = main(["reconstruct", *arguments])
    output = capsys.readouterr()
    assert "Traceback" not in output.err
    return status, output.out.splitlines(), output.err.splitlines()


def names(folder: str = "mien-out") -> set[str]:
    """All that lies in a folder, hidden files too."""
    return set(os.listdir(folder)) if os.path.isdir(folder) else set()


def results(*stems: str) -> set[str]:
    return {f"{stem}{suffix}" for stem in stems for suffix in (".face.json", ".overlay.png", ".glb")}


def test_every_face_has_its_files(folder, capsys):
    status, out, err = run(capsys, photo("one.png"), photo("two.png", faces=2))
    assert (status, err) == (0, [])
    assert names() == results("one", "two", "two.1")
    assert set(out) == {f"mien-out/{name}" for name in names()}


def test_formats_folder_and_largest_faces(folder, capsys):
    status, _, _ = run(
        capsys, photo("in/a.png", faces=3), "-o", "out/deep", "--formats", "obj", "ply", "--max-faces", "2"
    )
    assert status == 0
    assert names("out/deep") == {
        f"{stem}{suffix}"
        for stem in ("a", "a.1")
        for suffix in (".face.json", ".overlay.png", ".obj", ".mtl", ".texture.png", ".ply")
    }


def test_rerun_does_only_what_is_missing(folder, capsys):
    arguments = [photo("a.png", faces=2), photo("b.png")]
    run(capsys, *arguments)
    before = {name: os.stat(f"mien-out/{name}").st_mtime_ns for name in names()}
    os.unlink("mien-out/a.1.glb")
    status, out, err = run(capsys, *arguments)
    after = {name: os.stat(f"mien-out/{name}").st_mtime_ns for name in names()}
    assert status == 0
    assert {line.split("/")[1].split(".")[0] for line in out} == {"a"}
    assert {name for name in before if before[name] != after[name]} == results("a", "a.1")
    assert len(err) == 1 and "1 of 2" in err[0] and "--overwrite" in err[0]
    status, out, err = run(capsys, *arguments, "--overwrite")
    assert (status, len(out), err) == (0, 9, [])


def test_face_file_gives_the_same_files_again(folder, capsys):
    run(capsys, photo("a.png"))
    status, _, err = run(capsys, "mien-out/a.face.json", "-o", "again")
    assert (status, err) == (0, [])
    for name in results("a"):
        assert Path("again", name).read_bytes() == Path("mien-out", name).read_bytes(), name


def test_face_file_without_its_photo(folder, capsys):
    run(capsys, photo("a.png"))
    os.unlink("a.png")
    status, _, err = run(capsys, "mien-out/a.face.json", "-o", "again")
    assert status == 0 and names("again") == results("a")
    assert len(err) == 1 and "photo is not here" in err[0]


def bomb(path: str) -> None:
    """A PNG of a few hundred bytes that claims 60,000 by 60,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    header = (60000).to_bytes(4, "big") * 2 + bytes([8, 0, 0, 0, 0])
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    Path(path).write_bytes(b"\x89PNG\r\n\x1a\n" + parts)


def face_document(**changes) -> dict:
    """What a good face file of the tiny model holds, with top-level changes."""
    return json.loads(Path("mien-out/good.face.json").read_text()) | changes


def altered_face(path: str, **changes) -> None:
    Path(path).write_text(json.dumps(face_document(**changes)))


def altered_code(path: str, **changes) -> None:
    altered_face(path, code=face_document()["code"] | changes)


BAD = {
    "noface.png": (lambda p: photo(p, faces=0), 3, "no face"),
    "notes.jpg": (lambda p: Path(p).write_text("shopping list"), 4, "not a picture"),
    "empty.jpg": (lambda p: Path(p).touch(), 4, "empty"),
    "missing.jpg": (lambda p: None, 4, "no such file"),
    "nowhere/*.jpg": (lambda p: None, 4, "no file has such a name"),
    "nopictures": (lambda p: os.mkdir(p), 4, "no pictures"),
    "truncated.png": (lambda p: Path(p).write_bytes(Path(photo(p)).read_bytes()[:3000]), 4, "truncated"),
    "bomb.png": (bomb, 4, "megapixels"),
    "pipe.png": (os.mkfifo, 4, "regular file"),
    "loop.png": (lambda p: os.symlink(p, p), 4, "cannot be read"),
    "schema.face.json": (lambda p: altered_face(p, schema="mien.face/9"), 4, "schema"),
    "model.face.json": (lambda p: altered_face(p, model="anny/0"), 4, "model"),
    "length.face.json": (lambda p: altered_code(p, identity=[0.0]), 4, "code.identity"),
    "nan.face.json": (lambda p: altered_code(p, rotation=[0.0, float("nan"), 0.0]), 4, "code.rotation"),
    "text.face.json": (lambda p: Path(p).write_text("{"), 4, "JSON"),
    "gone.face.json": (lambda p: None, 4, "cannot be read"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_costs_one_line_and_nothing_else(name, folder, capsys):
    make, expected_status, says = BAD[name]
    run(capsys, photo("good.png"))
    make(name)
    status, out, err = run(capsys, name, "good.png", "-o", "out")
    assert status == expected_status
    assert len(err) == 1 and err[0].startswith(name) and says in err[0], err
    assert names("out") == results("good")
    assert len(out) == 3


def test_worst_status_wins(folder, capsys):
    status, _, err = run(capsys, photo("none.png", faces=0), "missing.jpg", photo("good.png"))
    assert (status, len(err)) == (4, 2)


def test_two_inputs_of_one_name_do_not_overwrite_each_other(folder, capsys):
    first, second = photo("a/face.png"), photo("b/face.png", faces=2)
    status, out, err = run(capsys, first, second, "--overwrite")
    assert status == 4 and len(out) == 3
    assert len(err) == 1 and err[0].startswith(second) and "face.face.json" in err[0]
    assert names() == results("face")
    status, _, err = run(capsys, second)
    assert status == 4 and len(err) == 1 and "--overwrite" in err[0]
    status, out, err = run(capsys, second, "--overwrite")
    assert (status, len(out), err) == (0, 6, [])


def test_a_second_face_does_not_overwrite_another_photo(folder, capsys):
    status, _, err = run(capsys, photo("x.1.png"), photo("x.png", faces=2))
    assert status == 4 and names() == results("x.1")
    assert len(err) == 1 and err[0].startswith("x.png")


def test_one_photo_named_in_several_ways_is_done_once(folder, capsys):
    photo("in/a.png")
    status, out, err = run(capsys, "in", "in/a.png", "in/*.png", f"{folder}/in/../in/a.png")
    assert (status, len(out), err) == (0, 3, [])


@pytest.mark.parametrize(
    "arguments, says",
    [
        ([], "at least one"),
        (["a.png", "--model", "basel"], "there is anny"),
        (["a.png", "--max-faces", "0"], "1 or more"),
        (["a.png", "--formats"], "--formats"),
    ],
)
def test_wrong_usage(arguments, says, folder, capsys):
    status, out, err = run(capsys, *arguments)
    assert status == 2 and out == [] and len(err) == 1 and says in err[0]
    assert names(".") == set()


@pytest.mark.parametrize(
    "arguments",
    [["reconstruct", "a.png", "--device", "cuda"], ["reconstruct", "a", "--format", "glb"], ["recon"], []],
)
def test_wrong_usage_that_tyro_finds(arguments, folder, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


def test_output_folder_is_a_file(folder, capsys):
    Path("out").touch()
    status, _, err = run(capsys, photo("a.png"), "-o", "out")
    assert status == 4 and len(err) == 1 and err[0].startswith("out: ")


def test_output_folder_cannot_be_made(folder, capsys):
    status, _, err = run(capsys, photo("a.png"), "-o", "/proc/mien-out")
    assert status == 4 and len(err) == 1 and err[0].startswith("/proc/mien-out: ")


def test_a_folder_has_the_name_of_a_result(folder, capsys):
    os.makedirs("mien-out/a.glb")
    status, _, err = run(capsys, photo("a.png"), photo("b.png"))
    assert status == 4 and len(err) == 1 and err[0].startswith("mien-out/a.glb")
    assert names() == results("b") | {"a.glb"}


def test_full_disk_leaves_nothing_half_written(folder, capsys):
    run(capsys, photo("a.png"), "-o", "elsewhere")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (os.path.getsize("elsewhere/a.glb") - 1, hard))
    try:
        status, out, err = run(capsys, "a.png", photo("none.png", faces=0))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert status == 4 and out == [] and names() == set()
    assert len(err) == 2 and err[0].startswith("mien-out/a.") and "no face" in err[1]


def test_missing_system_library_says_what_to_install(folder, capsys, monkeypatch):
    def no_library(image, max_faces):
        raise MissingLibrary("libGL.so.1 is not installed; apt-get install libgl1")

    run(capsys, photo("a.png"), "-o", "codes")
    monkeypatch.setattr("mien.detect.detect_faces", no_library)
    status, _, err = run(capsys, photo("b.png"), "codes/a.face.json")
    assert status == 4 and err == ["libGL.so.1 is not installed; apt-get install libgl1"]
    assert names() == results("a")


def test_interrupt_says_how_to_go_on(folder, capsys, monkeypatch):
    one = mien.cli.reconstruct.Reconstruct._faces

    def interrupted(self, path):
        if path.name == "b.png":
            raise KeyboardInterrupt
        return one(self, path)

    monkeypatch.setattr(mien.cli.reconstruct.Reconstruct, "_faces", interrupted)
    status, _, err = run(capsys, photo("a.png"), photo("b.png"), photo("c.png"))
    assert status == 130 and len(err) == 1 and "1 of 3" in err[0]
    assert names() == results("a")


def test_a_bug_is_one_line_and_costs_one_input(folder, capsys, monkeypatch):
    def faulty(image, max_faces):
        if image[0, 0, 0] > 0.15:
            raise IndexError("index 7 is out of bounds")
        return tiny_faces_in(image, max_faces)

    monkeypatch.setattr("mien.detect.detect_faces", faulty)
    status, _, err = run(capsys, photo("a.png", faces=2), photo("b.png"))
    assert status == 4 and len(err) == 1 and err[0].startswith("a.png") and "bug" in err[0]
    assert names() == results("b")


def test_names_without_an_encoding(folder, capsys):
    name = os.fsdecode(b"caf\xe9 \xff.png")
    status, out, err = run(capsys, photo(name))
    assert status == 0 and len(out) == 3 and len(names()) == 3
    status, _, err = run(capsys, name)
    assert status == 0 and "1 of 1" in err[0]


@pytest.fixture
def altered_assets(tmp_path, monkeypatch):
    """A copy of the catalogue's folder whose files can be spoilt."""
    copy = tmp_path / "assets"
    copy.mkdir()
    for file in ("assets.json", *assets.catalogue()):
        os.symlink(assets._FOLDER / file, copy / file)
    monkeypatch.setattr(assets, "_FOLDER", copy)
    for cached in (assets.catalogue, assets.path):
        cached.cache_clear()
    yield copy
    monkeypatch.undo()
    for cached in (assets.catalogue, assets.path):
        cached.cache_clear()


@pytest.mark.parametrize("spoil", ["missing", "altered"])
def test_spoilt_asset(spoil, altered_assets, folder, capsys, monkeypatch):
    from mien.model_files.packaged import read_packaged

    monkeypatch.setattr("mien.reconstruction.load_model", read_packaged)
    spoilt = altered_assets / "anny.safetensors"
    spoilt.unlink(missing_ok=True)
    if spoil == "altered":
        spoilt.write_bytes(b"not the model")
    status, _, err = run(capsys, photo("a.png"))
    assert status == 4 and len(err) == 1 and "anny.safetensors" in err[0] and "reinstall" in err[0]
    assert names() == set()


def test_folder_means_its_pictures(folder):
    for name in ("b.PNG", "a.jpg", ".hidden.png", "c.overlay.png", "notes.txt", "deep/d.png"):
        Path("in", name).parent.mkdir(parents=True, exist_ok=True)
        Path("in", name).touch()
    assert list(expand(["in"])) == [Path("in/a.jpg"), Path("in/b.PNG")]
    assert list(expand(["in/**/*.png"])) == [Path("in/c.overlay.png"), Path("in/deep/d.png")]
    Path("in/x[1].png").touch()
    assert list(expand(["in/x[1].png"])) == [Path("in/x[1].png")]
    assert [type(item) for item in expand(["in/*.tif"])] == [UnreadableInput]


def test_stems():
    assert [stem_of(Path(p)) for p in ("a/b.c.jpg", "b.face.json", "B.FACE.JSON")] == ["b.c", "b", "B"]


def mien_process(*arguments: str, **options) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "mien", *arguments], capture_output=True, text=True, timeout=60, **options
    )


def test_help_teaches_by_example():
    for command in ([], ["reconstruct"], ["models"]):
        answer = mien_process(*command, "--help")
        assert answer.returncode == 0 and answer.stderr == ""
        assert "Examples:" in answer.stdout and f"mien {' '.join(command)}".strip() in answer.stdout


def test_version():
    assert mien_process("--version").stdout.startswith("mien ")


def test_help_imports_nothing_heavy():
    code = (
        "import sys\nfrom mien.cli import main\ntry:\n main(['reconstruct', '--help'])\n"
        "except SystemExit:\n print(*sorted(sys.modules), file=sys.stderr)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    loaded = set(answer.stderr.split())
    assert "tyro" in loaded
    assert not loaded & {"numpy", "scipy", "numba", "mediapipe", "cv2", "torch", "trimesh", "PIL"}


@pytest.mark.parametrize("arguments", [["models", "list"], ["reconstruct", "--help"]])
def test_closed_pipe_is_no_trouble(arguments):
    with subprocess.Popen(
        [sys.executable, "-m", "mien", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=60) == 0
