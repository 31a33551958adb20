.PHONY: run test check screenshots bench load simulate fitting-venv

VENV = .venv
# What runs, and beside it what tests and checks: only the first is installed to serve.
RUN = $(VENV)/.installed
DEV = $(VENV)/.installed-dev
FITS = $(CURDIR) $(shell python3 --version)
INSTALL = $(VENV)/bin/pip install --quiet --disable-pip-version-check

run: fitting-venv $(RUN)
	@grep -qs '^PORTAL_SAMPLE_DATA=' .env || export PORTAL_SAMPLE_DATA=$${PORTAL_SAMPLE_DATA:-on}; \
	exec $(VENV)/bin/rolling-window serve

# Two more than there are cores: many tests wait for a browser, a server or an instant.
test: fitting-venv $(DEV)
	$(VENV)/bin/python -m pytest -n 4 --dist worksteal
	cd clients && ../$(VENV)/bin/python -m pytest -n 2 --dist worksteal

check: fitting-venv $(DEV)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	cd clients && ../$(VENV)/bin/mypy
	$(VENV)/bin/djlint templates --lint --check --quiet

bench: $(DEV)
	$(VENV)/bin/python -m bench.run

load: $(DEV)
	$(VENV)/bin/python -m bench.load $(if $(DATABASE),--database "$(DATABASE)")

simulate: $(DEV)
	$(VENV)/bin/python -m bench.simulation

screenshots: $(DEV)
	$(VENV)/bin/python docs/screenshots.py

# Where the folder was moved, or Python is another one, its programs would not be found.
fitting-venv:
	@[ "$$(cat $(VENV)/.fits 2>/dev/null)" = "$(FITS)" ] || rm -rf $(VENV)

$(RUN): requirements.txt
	@echo "Installing what the portal needs into $(VENV); this takes half a minute..."
	@python3 -m venv $(VENV)
	@$(INSTALL) -r requirements.txt
	@$(INSTALL) --no-deps --editable .
	@echo "$(FITS)" > $(VENV)/.fits
	@touch $@

$(DEV): requirements-dev.txt $(RUN)
	$(INSTALL) -r requirements-dev.txt
	@touch $@
