"""Writers of 3D files: GLB with morph targets and texture, OBJ, PLY."""
