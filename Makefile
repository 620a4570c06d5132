# What a new user types: `make demo`, `make test`. All happens in a virtual environment; nothing else is touched.

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
INSTALL = rm -rf build/lib build/bdist.* && $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: demo test lint gallery accuracy benchmarks clean

demo: $(BIN)/python
	$(INSTALL) .
	$(BIN)/mien reconstruct examples/astronaut.jpg -o mien-out --overwrite
	@echo
	@echo "The picture to look at: $(CURDIR)/mien-out/astronaut.overlay.png"
	@echo "The 3D face:            $(CURDIR)/mien-out/astronaut.glb"
	@echo "The face code:          $(CURDIR)/mien-out/astronaut.face.json"

test: $(BIN)/python
	$(INSTALL) '.[test]'
	$(BIN)/python -m pytest

lint: $(BIN)/python
	$(INSTALL) '.[dev]'
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

gallery: $(BIN)/python
	$(INSTALL) .
	$(BIN)/python tools/make_gallery.py
	$(BIN)/python tools/make_transfer_figure.py

accuracy: $(BIN)/python
	$(INSTALL) .
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/accuracy_all.py

# these measure data that they are given
OF_DATA := $(addprefix benchmarks/,accuracy_% recipe.py encoder_int8.py small_faces.py)

benchmarks: $(BIN)/python
	$(INSTALL) '.[bench]'
	for file in $(filter-out $(OF_DATA),$(wildcard benchmarks/*.py)); \
	do $(BIN)/python $$file || exit 1; done

clean:
	rm -rf $(VENV) build mien-out

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
