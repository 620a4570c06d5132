"""Every accuracy figure of docs/accuracy.md in one run: measures, keeps the JSON, renews the tables.

OMP_NUM_THREADS=1 python benchmarks/accuracy_all.py
OMP_NUM_THREADS=1 python benchmarks/accuracy_all.py geometry identity

What has no data on this machine is left out, and its table stays as it is.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

from accuracy_common import SHARED

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "accuracy.md"
_GEOMETRY = ["accuracy_geometry.py", "--set", "test", "--heads", "100"]
RUNS = {
    "geometry": _GEOMETRY,
    "geometry_by_area": [*_GEOMETRY, "--by-area"],
    "geometry_fit": [*_GEOMETRY, "--way", "fit", "--no-means"],
    "geometry_encoder": [*_GEOMETRY, "--way", "encoder", "--no-means"],
    "photos": ["accuracy_photos.py"],
    "photos_fit": ["accuracy_photos.py", "--way", "fit"],
    "photos_encoder": ["accuracy_photos.py", "--way", "encoder"],
    "groups": ["accuracy_groups.py", "--limit", "400"],
    "agreement": ["accuracy_agreement.py", "--limit", "400"],
    "identity": ["accuracy_identity.py"],
    "identity_encoder": ["accuracy_identity.py", "--way", "encoder"],
    "identity_fit": ["accuracy_identity.py", "--way", "fit"],
}
ICT, PHOTOS = "ict-facekit.tar.xz", ["photos_open/cc0", "photos_open/us_official", "photos_lfw"]
NEEDS = {"geometry": [ICT], "photos": PHOTOS, "groups": PHOTOS, "agreement": PHOTOS}
NEEDS["identity"] = ["photos_lfw", ICT]
"""Files and folders of the shared data, by how the names of `RUNS` begin."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help=f"which of {', '.join(RUNS)}; all if none is named")
    names = parser.parse_args().names or list(RUNS)
    if unknown := set(names) - set(RUNS):
        parser.error(f"no such measurement: {', '.join(sorted(unknown))}")
    for name in names:
        needed = NEEDS[name.split("_")[0]]
        if missing := [str(SHARED / place) for place in needed if not (SHARED / place).exists()]:
            print(f"{name}: left out, for want of {', '.join(missing)}", file=sys.stderr)
            continue
        script, *options = RUNS[name]
        out = PAGE.parent / "accuracy" / name
        subprocess.run([sys.executable, HERE / script, *options, "--out", out], check=True)
        PAGE.write_text(_with_table(PAGE.read_text(), name, out.with_suffix(".md").read_text()))
        out.with_suffix(".md").unlink()  # the page has it


def _with_table(page: str, name: str, table: str) -> str:
    """The page with what stands between the marks of that name replaced."""
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    found = re.search(re.escape(begin) + ".*?" + re.escape(end), page, re.DOTALL)
    if found is None:
        raise ValueError(f"{PAGE}: has no marks {begin.strip()} and {end}")
    return page[: found.start()] + begin + "\n" + table + "\n" + end + page[found.end() :]


if __name__ == "__main__":
    main()
