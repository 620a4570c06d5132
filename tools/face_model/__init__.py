"""How the packaged face model is made; `tools/build_face_model.py` runs the stages in order."""
