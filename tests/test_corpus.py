"""A corpus on disk: the same bytes however it came to be, nothing lost, damage named."""

import errno
import multiprocessing
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from mien.errors import BadCorpus, CannotWrite
from mien.synthesis import BLOCK, Recipe, generate
from mien.synthesis.corpus import TABLE, CorpusStream, open_corpus, picture_path
from mien.synthesis.corpus_writer import UNFINISHED, synthesize
from tiny_face import tiny_face

RECIPE, SEED, COUNT = Recipe(size=32, world=False), 4, 150


def make(folder, count=COUNT, load=tiny_face, **settings):
    return synthesize(folder, count, RECIPE, **{"seed": SEED, "load": load} | settings)


def in_worker() -> bool:
    return multiprocessing.parent_process() is not None


def on_a_disk_with_room_for_70():
    """The tiny model; in the process that loads it, the 71st file and all after it find no room."""
    if in_worker():
        write, written = Path.write_bytes, []

        def write_bytes(path, data):
            written.append(path)
            if len(written) > 70:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return write(path, data)

        Path.write_bytes = write_bytes
    return tiny_face()


def in_a_process_that_is_killed():
    if in_worker():
        os.kill(os.getpid(), signal.SIGKILL)
    return tiny_face()


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A corpus, made in one go by two processes."""
    folder = tmp_path_factory.mktemp("corpus") / "made"
    told = []
    assert len(make(folder, jobs=2, advance=told.append)) == COUNT
    assert told[0] == 0 and told[-1] == COUNT and told == sorted(told)
    return folder


@pytest.fixture
def copy(made, tmp_path) -> Path:
    return shutil.copytree(made, tmp_path / "copy")


def test_pictures_are_those_of_the_generator(made):
    corpus = open_corpus(made)
    assert len(corpus) == COUNT and corpus.settings.seed == SEED and corpus.settings.recipe == RECIPE
    block, read = generate(tiny_face(), RECIPE, SEED, 1), corpus[BLOCK : 2 * BLOCK]
    assert (read.images == block.images).all() and (read.landmarks_px == block.landmarks_px).all()
    assert (read.codes.to_vector() == block.codes.to_vector()).all() and read.codes.model == "tiny/1"


def test_other_readers_understand_it(made):
    table, corpus = load_file(made / TABLE), open_corpus(made)
    assert (table["number"] == np.arange(COUNT)).all()
    some = corpus[[7, 149]]
    assert (table["landmarks_px"][[7, 149]] == some.landmarks_px).all()
    assert (table["illumination"][[7, 149]] == some.codes.illumination).all()
    image = cv2.imread(str(made / "000000" / "000000149.png"))[..., ::-1]
    assert (image == some.images[1]).all()
    assert {path.name for path in made.iterdir()} == {"000000", TABLE}


def test_rows_come_in_any_order_and_shape(made):
    corpus = open_corpus(made)
    everything = corpus[:]
    order = np.array([[3, 149], [0, 70], [71, 72]])
    some = corpus[order]
    assert some.images.shape == (3, 2, 32, 32, 3) and (some.images == everything.images[order]).all()
    assert (some.codes.identity == everything.codes.identity[order]).all()
    one = corpus[-1]
    assert one.images.shape == (32, 32, 3) and (one.landmarks_px == everything.landmarks_px[-1]).all()
    assert len(corpus[:0].images) == 0
    with pytest.raises(IndexError):
        corpus[COUNT]


def test_it_stands_for_the_generator_round_and_round(made):
    corpus = open_corpus(made)
    stream = pickle.loads(pickle.dumps(CorpusStream(corpus, 20, 120)))
    blocks = np.concatenate([stream(tiny_face(), RECIPE, 9, block).landmarks_px for block in range(3)])
    part = corpus[20:120].landmarks_px
    start = int(np.flatnonzero((part == blocks[0]).all((1, 2)))[0])
    assert (blocks == part[(start + np.arange(3 * BLOCK)) % 100]).all()
    assert (stream(tiny_face(), RECIPE, 10, 0).landmarks_px[0] != blocks[0]).any()
    with pytest.raises(BadCorpus, match="recipe"):
        stream(tiny_face(), Recipe(size=64), 0, 0)


def test_what_is_held_out_is_never_learned_from(made, tmp_path):
    learned, held_out = open_corpus(made).split()
    assert (learned.first, learned.end, held_out.end) == (0, held_out.first, COUNT)
    assert held_out.end - held_out.first == COUNT // 8
    with pytest.raises(BadCorpus, match="5 pictures are too few"):
        make(tmp_path / "small", 5).split()


def test_a_full_disk_leaves_a_shorter_corpus_that_can_grow(made, tmp_path):
    folder = tmp_path / "full"
    with pytest.raises(CannotWrite, match=r"No space left .* 64 of 150 pictures") as caught:
        make(folder, load=on_a_disk_with_room_for_70)
    assert "\n" not in str(caught.value)
    assert (open_corpus(folder)[:].images == open_corpus(made)[:64].images).all()
    assert len(contents(folder)) == 64 + 1
    assert len(make(folder, 100)) == 100
    make(folder)
    assert contents(folder) == contents(made)


def test_killed_it_ends_its_processes_and_goes_on_later(made, tmp_path):
    folder = tmp_path / "killed"
    script = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); from pathlib import Path; "
        f"from test_corpus import make; make(Path({str(folder)!r}), 150, jobs=1)"
    )
    process = subprocess.Popen([sys.executable, "-c", script])
    parts = folder / UNFINISHED
    until(lambda: list(parts.glob("[0-9]*")))
    children = [int(n) for n in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
    process.kill()
    process.wait()
    assert children
    until(lambda: not any(map(runs, children)))
    with pytest.raises(BadCorpus, match="no picture yet"):
        open_corpus(folder)
    finished = {path: path.stat().st_mtime_ns for path in (folder / "000000").glob("00000000?.png")}
    make(folder)
    assert contents(folder) == contents(made)
    assert all(path.stat().st_mtime_ns == before for path, before in finished.items())


def until(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def runs(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_killed_process_is_an_error(tmp_path):
    with pytest.raises(BadCorpus, match="killed"):
        make(tmp_path / "c", load=in_a_process_that_is_killed)


def test_what_is_missing_is_made_again(made, copy):
    os.unlink(picture_path(copy, 130, "png"))
    make(copy)
    assert contents(copy) == contents(made)
    before = (copy / TABLE).stat().st_mtime_ns
    make(copy)
    assert (copy / TABLE).stat().st_mtime_ns == before


def test_other_settings_are_refused(copy):
    for wrong, message in (
        ({"seed": 5}, "seed 4, not 5"),
        ({"format": "jpg"}, "format png, not jpg"),
        ({"count": 100}, "to number 149 and cannot become shorter"),
    ):
        with pytest.raises(BadCorpus, match=message):
            make(copy, **wrong)
    with pytest.raises(BadCorpus, match="recipe"):
        synthesize(copy, COUNT, Recipe(size=64), SEED, load=tiny_face)


def test_a_folder_with_other_things_is_left_alone(tmp_path):
    (tmp_path / "holiday.jpg").write_bytes(b"x")
    with pytest.raises(BadCorpus, match=r"holiday\.jpg"):
        make(tmp_path)
    with pytest.raises(CannotWrite, match="cannot be used"):
        make(tmp_path / "holiday.jpg")
    assert os.listdir(tmp_path) == ["holiday.jpg"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda file: file.unlink(), "is missing"),
        (lambda file: file.write_bytes(file.read_bytes()[:-9]), "truncated"),
        (lambda file: file.write_bytes(file.read_bytes()[:-1] + b"?"), "altered"),
    ],
)
def test_a_damaged_picture_is_named(copy, damage, message):
    damage(picture_path(copy, 3, "png"))
    corpus = open_corpus(copy)
    corpus[4:8]
    with pytest.raises(BadCorpus, match=rf"000000003\.png.*{message}"):
        corpus[:8]


def test_a_damaged_table_is_named(copy):
    table = copy / TABLE
    whole = table.read_bytes()
    table.write_bytes(whole[:-200_000] + b"???" + whole[-199_997:])
    with pytest.raises(BadCorpus, match=rf"{TABLE}: altered, at picture"):
        open_corpus(copy)[:]
    table.write_bytes(whole[:-100])
    with pytest.raises(BadCorpus, match=f"{TABLE}: damaged"):
        open_corpus(copy)
    save_file({"number": np.arange(3)}, table)
    with pytest.raises(BadCorpus, match="no table of a corpus"):
        open_corpus(copy)
    table.unlink()
    with pytest.raises(BadCorpus, match="no such file"):
        open_corpus(copy)


def test_jpeg_is_nearly_the_same(made, tmp_path):
    corpus = make(tmp_path / "jpeg", 5, format="jpg")
    exact = open_corpus(made)[:5].images
    assert np.abs(corpus[:].images.astype(int) - exact).mean() < 4
