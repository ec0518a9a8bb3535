# make demo | make test | make lint    (PYTHON=python3.12 chooses the interpreter; each has an environment of its own)

PYTHON ?= python3
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
VENV ?= .venv-$(VERSION)
INSTALLED := $(VENV)/installed

.PHONY: demo test lint format

demo: $(INSTALLED)
	$(VENV)/bin/python -m emotion_gcn_jax.tfds build tfds_builders/synthetic_faces
	$(VENV)/bin/python train.py --config=configs/synthetic_faces.py --workdir=runs/demo --resume
	$(VENV)/bin/emotion-gcn predict --checkpoint runs/demo --overlay runs/demo/photographs \
		"$$($(VENV)/bin/python -c 'import skimage; print(skimage.__path__[0])')/data/astronaut.png"

test: $(INSTALLED)
	$(VENV)/bin/python -m pytest --numprocesses=2 --dist=loadfile

lint: $(INSTALLED)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

format: $(INSTALLED)
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

$(INSTALLED): pyproject.toml
	@test -n "$(VERSION)" || { echo "$(PYTHON) was not found: name a Python 3.11, 3.12 or 3.13 by PYTHON=..."; exit 1; }
	@case "$(VERSION)" in 3.11|3.12|3.13) ;; *) echo "Python 3.11, 3.12 or 3.13 is needed, $(PYTHON) is $(VERSION): name another by PYTHON=..."; exit 1;; esac
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --upgrade pip
	$(VENV)/bin/python -m pip install --quiet --editable '.[test]'
	@touch $@
