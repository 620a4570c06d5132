"""Lesson 1: a photograph in, a 3D face out.

python examples/01_reconstruct.py [PHOTO]
"""

import sys
from pathlib import Path

import mien

photo = sys.argv[1] if len(sys.argv) > 1 else Path(__file__).with_name("astronaut.jpg")
for number, face in enumerate(mien.reconstruct(photo)):
    strongest = sorted(face.blendshapes.items(), key=lambda item: -item[1])[:5]
    print(f"face {number}:", ", ".join(f"{name} {value:.2f}" for name, value in strongest))
    for path in face.save("mien-out", f"face{number}"):
        print("  ", path)
