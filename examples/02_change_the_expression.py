"""Lesson 2: other numbers, another look: an expression is 52 coefficients with names.

python examples/02_change_the_expression.py [PHOTO]
"""

import sys
from pathlib import Path

import mien
from mien.overlay import beside

SMILE = {"mouthSmileLeft": 0.9, "mouthSmileRight": 0.9, "cheekSquintLeft": 0.6, "cheekSquintRight": 0.6}
SURPRISE = {"jawOpen": 0.5, "browInnerUp": 1.0, "eyeWideLeft": 1.0, "eyeWideRight": 1.0}
ANGER = {"browDownLeft": 1.0, "browDownRight": 1.0, "noseSneerLeft": 0.7, "noseSneerRight": 0.7}

photo = sys.argv[1] if len(sys.argv) > 1 else Path(__file__).with_name("astronaut.jpg")
neutral = mien.reconstruct(photo)[0].neutral()
looks = [neutral, *(neutral.with_blendshapes(**look) for look in (SMILE, SURPRISE, ANGER))]
mien.save_png("looks.png", beside([look.portrait(400, yaw_degrees=-20) for look in looks]))
print("looks.png")
