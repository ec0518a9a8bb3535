# make demo | make test | make bench | make lint | make docs    (PYTHON=python3.12 chooses the interpreter; each has an environment of its own)

PYTHON ?= python3
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
VENV ?= .venv-$(VERSION)
INSTALLED := $(VENV)/installed

ASTRONAUT = "$$($(VENV)/bin/python -c 'import skimage; print(skimage.__path__[0])')/data/astronaut.png"

.PHONY: demo test bench lint format browser docs

demo: $(INSTALLED)
	$(VENV)/bin/python -m emotion_gcn_jax.tfds build tfds_builders/synthetic_faces --config=demo
	$(VENV)/bin/python train.py --config=configs/synthetic_faces.py --workdir=runs/demo --resume
	$(VENV)/bin/emotion-gcn predict --checkpoint runs/demo --overlay runs/demo/photographs $(ASTRONAUT)
	@echo "and the model that is shipped, trained on real faces:"
	$(VENV)/bin/emotion-gcn predict $(ASTRONAUT)

# What the tests of the page need besides, and say when they lack it: Chromium, and ONNX Runtime Web from npm.
RUNTIME_WEB := build/onnxruntime-web-1.30.0.tgz

browser: $(RUNTIME_WEB)
	command -v chromium || { apt-get update && apt-get install --yes --no-install-recommends chromium; }

$(RUNTIME_WEB):
	mkdir -p build && cd build && npm pack onnxruntime-web@1.30.0

# All of them; SELECT="not once" leaves out what CONTRIBUTING.md says. The order is tests/conftest.py's.
SELECT ?=

test: $(INSTALLED)
	$(VENV)/bin/python -m pytest --numprocesses=2 --dist=loadfile --no-loadscope-reorder -m "$(SELECT)"

# PyTorch's build for CPUs is an ordinary package on Python 3.11 only, so its side runs there.
TORCH_VENV ?= .venv-3.11
AGAINST_TORCH = $(VENV)/bin/python benchmarks/training_against_torch.py --torch-python=$(TORCH_VENV)/bin/python --rounds=3
INFERENCE = $(VENV)/bin/python benchmarks/inference.py --torch-python=$(TORCH_VENV)/bin/python

bench: $(INSTALLED)
	@test -f $(TORCH_VENV)/installed || $(MAKE) PYTHON=python3.11 VENV=$(TORCH_VENV) $(TORCH_VENV)/installed
	$(VENV)/bin/python benchmarks/starting.py --remat --rounds=1
	$(INFERENCE) --batch=1
	$(INFERENCE) --batch=32 --rounds=3
	$(AGAINST_TORCH) --trunk=resnet18 --size=112 --batch=32
	$(AGAINST_TORCH) --trunk=densenet121 --remat
	$(AGAINST_TORCH) --trunk=bregnext50 --size=112 --batch=8 --remat
	$(VENV)/bin/python benchmarks/epoch.py --trunk=resnet18 --size=112 --batch=32

lint: $(INSTALLED)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

format: $(INSTALLED)
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

# Strict: a link that leads nowhere fails.
docs: $(INSTALLED)
	$(VENV)/bin/python -m mkdocs build --strict

$(INSTALLED): pyproject.toml
	@test -n "$(VERSION)" || { echo "$(PYTHON) was not found: name a Python 3.11, 3.12 or 3.13 by PYTHON=..."; exit 1; }
	@case "$(VERSION)" in 3.11|3.12|3.13) ;; *) echo "Python 3.11, 3.12 or 3.13 is needed, $(PYTHON) is $(VERSION): name another by PYTHON=..."; exit 1;; esac
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --upgrade pip
	$(VENV)/bin/python -m pip install --quiet --editable '.[test]'
	@touch $@
