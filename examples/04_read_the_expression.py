"""Lesson 4: which of seven expressions a code shows, and how strongly; on codes read and codes made.

python examples/04_read_the_expression.py [PHOTO]
"""

import sys
from pathlib import Path

import mien

photo = sys.argv[1] if len(sys.argv) > 1 else Path(__file__).with_name("astronaut.jpg")
face = mien.reconstruct(photo)[0]
gasp = face.neutral().with_blendshapes(jawOpen=0.6, browInnerUp=1, browOuterUpLeft=1, browOuterUpRight=1)
for what, code in {"in the photograph": face.code, "astonished": gasp.code}.items():
    reading = mien.expression(code)
    print(f"{what}: {reading.label} ({reading.confidence:.0%}), intensity {reading.intensity:.1f} of 5")
