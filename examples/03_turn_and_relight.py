"""Lesson 3: pose and light are numbers too: the face of the photograph, turned away from a lamp at its side.

python examples/03_turn_and_relight.py [PHOTO]
"""

import sys
from pathlib import Path

import numpy as np

import mien
from mien.lighting import directional_light, uniform_light
from mien.overlay import beside
from mien.render import render

photo = sys.argv[1] if len(sys.argv) > 1 else Path(__file__).with_name("astronaut.jpg")
face = mien.reconstruct(photo)[0]
lamp = uniform_light(0.1) + directional_light((-1.0, 0.4, 0.3), 1.2)
size = face.face.image_size
pictures = []
for yaw_degrees in (-40, 0, 40):
    code = face.code.with_(rotation=np.radians([0.0, yaw_degrees, 0.0]), illumination=lamp)
    pictures.append(render(face.model, code, size, supersample=2, background=(0.9, 0.9, 0.9)).image)
mien.save_png("turned.png", beside(pictures))
print("turned.png")
