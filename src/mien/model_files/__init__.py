"""One reader for each format of morphable model; all give the same `mien.morphable.MorphableModel`."""
