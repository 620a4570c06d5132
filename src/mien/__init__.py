"""mien: one photograph in, a 3D face out, as a short code whose numbers mean something."""
