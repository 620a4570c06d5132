"""The levels of the design: a module imports only what is below it."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "mien"

LEVELS = {
    "errors": "0", "assets": "0", "files": "0", "image": "0", "facecode": "0", "mesh": "0",
    "compiled": "0", "mesh_kernel": "0",
    "morphable": "1", "model_files": "1", "camera": "1", "lighting": "1", "raster": "1", "raster_kernel": "1",
    "raster_torch": "1", "morphable_kernel": "1",
    "render": "1", "render_kernel": "1", "landmarks": "1", "export": "1",
    "detect": "1'", "align": "1'", "encoder": "1'",
    "surface": "1", "conversion": "1", "adoption": "2",
    "facefile": "2", "fit": "2", "texture": "2", "texture_kernel": "2", "reconstruct": "2",
    "expressions": "2", "reconstruction": "2", "overlay": "2", "crop_camera": "2",
    "composite": "2", "creases": "2", "edit": "2", "traits": "2", "sheet": "2",
    "synthesis": "3", "training": "3", "evaluation": "3", "thesis": "3",
    "cli": "4", "__main__": "4", "": "4",
}  # fmt: skip
"""Level of each module; 1 is the model's side, 1' the photo's."""

BELOW = {
    "0": {"0"},
    "1": {"0", "1"},
    "1'": {"0", "1'"},
    "2": {"0", "1", "1'", "2"},
    "3": {"0", "1", "1'", "2", "3"},
    "4": {"0", "1", "1'", "2", "3", "4"},
}


def module_of(file: Path) -> str:
    """First name below `mien`; empty for the package itself."""
    return file.relative_to(SOURCE).with_suffix("").parts[0].replace("__init__", "")


def imported(file: Path) -> set[str]:
    """Modules of mien that a file imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: imports are absolute"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    parts = [name.split(".") for name in names]
    return {p[1] for p in parts if p[0] == "mien" and len(p) > 1}


@pytest.mark.parametrize("file", sorted(SOURCE.rglob("*.py")), ids=lambda f: str(f.relative_to(SOURCE)))
def test_imports_point_down(file):
    module = module_of(file)
    assert module in LEVELS, f"{module}: give the new module a level"
    for name in imported(file) & LEVELS.keys():
        assert LEVELS[name] in BELOW[LEVELS[module]], f"{module} imports {name}"


def test_importing_mien_loads_nothing_heavy():
    script = "import sys, mien; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout.split()
    heavy = {"torch", "numba", "mediapipe", "cv2", "scipy", "PIL", "rich", "tyro", "trimesh", "pygltflib"}
    heavy |= {"onnxruntime", "timm", "tensorboard"}
    assert not heavy & set(loaded)
