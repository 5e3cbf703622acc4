# `make train` and `make test` work on a fresh machine that has Python 3.10 to 3.13 and a network.
# Options go through ARGS:  make train ARGS="data=cifar10 model=resnet20"
# Another interpreter:      make PYTHON=python3.12 train
# PYTHON counts when .venv is made; delete .venv to change it.

PYTHON ?= python3
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
VENV14 := .venv-hydra14

# Empty unless .venv runs and imports this very checkout. It is empty after Python was removed or
# upgraded and after the directory was moved or copied, which a stamp file cannot tell.
USABLE := $(shell $(BIN)/python -I -c 'import importlib.util as i, os.path; \
	here = "src/resnet_lab/__init__.py"; \
	print("yes" if os.path.samefile(i.find_spec("resnet_lab").origin, here) else "")' 2>/dev/null)

# Stop with one line unless $(PYTHON) can make the environment.
define CHECK_PYTHON
command -v $(PYTHON) >/dev/null || { \
	echo "resnet-lab: $(PYTHON) was not found; name a Python 3.10 to 3.13:" \
	"make PYTHON=python3.12 train" >&2; \
	exit 1; }; \
$(PYTHON) -c 'import sys; v = sys.version_info[:2]; \
	sys.exit(not (3, 10) <= v <= (3, 13) and "resnet-lab: needs Python 3.10 to 3.13, but $(PYTHON)" \
	" is %d.%d; name another: make PYTHON=python3.12 train" % v)' || exit 1; \
$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	echo "resnet-lab: $(PYTHON) cannot make virtual environments; on Debian and Ubuntu:" \
	"sudo apt-get install python3-venv" >&2; \
	exit 1; }
endef

.PHONY: help setup train test test-slurm test-ray test-hydra14 lint docs tensorboard benchmark faults rename clean
.DEFAULT_GOAL := help

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "make %-13s %s\n", $$1, $$2}' Makefile

setup: $(STAMP) ## make .venv and install everything into it; the others do this by themselves

# The stamp comes last, so a set-up that was cut short leaves none and goes on where it was.
$(STAMP): pyproject.toml constraints.txt $(if $(USABLE),,FORCE)
	@if [ -e $(STAMP) ] && [ -z "$(USABLE)" ]; then \
		echo "resnet-lab: $(VENV) no longer works here; making it again"; \
		rm -rf $(VENV); \
	fi
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { \
		$(CHECK_PYTHON); \
		echo "resnet-lab: setting up $(VENV) (a few minutes, about 6 GB with CUDA)"; \
		$(PYTHON) -m venv --clear $(VENV); }
	@$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@

FORCE:

# `python -m`, since the scripts in .venv/bin have the directory written into them.
train: $(STAMP) ## train on the bundled data; ARGS="data=cifar10 model=resnet20 ..."
	@$(BIN)/python -m resnet_lab.train $(ARGS)

test: $(STAMP) ## run the tests; ARGS="-m slow" for the slow ones
	@$(BIN)/python -m pytest $(ARGS)

test-slurm: $(STAMP) ## run sweeps through a SLURM cluster on this machine (Debian's slurmctld slurmd slurm-client munge)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[slurm]"
	@$(BIN)/python -m pytest tests/slurm -m slurm -n 0 $(ARGS)

test-ray: $(STAMP) ## run sweeps and a search through a Ray cluster of two nodes on this machine
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[ray]"
	@$(BIN)/python -m pytest tests/ray -m ray -n 0 $(ARGS)

# A second environment, with what hydra-core 1.4 asks for instead of what constraints.txt pins.
test-hydra14: ## run the tests with the pre-release of Hydra 1.4, in .venv-hydra14
	@$(CHECK_PYTHON)
	@test -x $(VENV14)/bin/python || $(PYTHON) -m venv $(VENV14)
	@grep -v '^hydra-core\|^omegaconf\|^antlr4' constraints.txt > $(VENV14)/constraints.txt
	@$(VENV14)/bin/python -m pip install --quiet --disable-pip-version-check \
		-c $(VENV14)/constraints.txt -e ".[dev]" hydra-core==1.4.0rc3 omegaconf==2.4.1rc1
	@$(VENV14)/bin/python -m pytest $(ARGS)

lint: $(STAMP) ## check style, format, types and the direction of imports
	@$(BIN)/python -m ruff check
	@$(BIN)/python -m ruff format --check
	@$(BIN)/python -m mypy
	@$(BIN)/python -c 'from importlinter.cli import lint_imports_command as lint; lint()' --no-logo --no-cache

docs: $(STAMP) ## write the page of all options and the tables of measured results
	@$(BIN)/python docs/make_options.py
	@$(BIN)/python docs/make_results.py
	@$(BIN)/python docs/make_findings.py

tensorboard: $(STAMP) ## show the curves of all runs in logs/, or RESNET_LAB_LOGS
	@$(BIN)/python -m tensorboard.main --logdir "$${RESNET_LAB_LOGS:-logs}" $(ARGS)

benchmark: $(STAMP) ## measure how much of this machine a run uses; ARGS="model=resnet18 ..."
	@$(BIN)/python -m resnet_lab.benchmark $(ARGS)

faults: $(STAMP) ## kill runs and sweeps, type wrong command lines, count what does not hold
	@$(BIN)/python -m benchmarks.faults $(ARGS)

rename: ## make the template your own: NAME=my_lab renames package, commands, plugins, documentation
	@$(PYTHON) scripts/rename.py $(NAME)
	@if [ -e $(STAMP) ]; then $(MAKE) setup && $(BIN)/python -m pip uninstall -q -y resnet-lab; fi

clean: ## delete caches and build products; keeps .venv, data and logs
	@rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist
	@find src tests conf notebooks -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true
