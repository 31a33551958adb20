.PHONY: run test check screenshots

VENV = .venv
# What runs, and beside it what tests and checks: only the first is installed to serve.
RUN = $(VENV)/.installed
DEV = $(VENV)/.installed-dev
INSTALL = $(VENV)/bin/pip install --quiet --disable-pip-version-check -r

run: $(RUN)
	@grep -qs '^PORTAL_SAMPLE_DATA=' .env || export PORTAL_SAMPLE_DATA=$${PORTAL_SAMPLE_DATA:-on}; \
	exec $(VENV)/bin/flask --app wsgi serve

test: $(DEV)
	$(VENV)/bin/python -m pytest -n 2 --dist worksteal
	cd clients && ../$(VENV)/bin/python -m pytest -n 2 --dist worksteal

check: $(DEV)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	cd clients && ../$(VENV)/bin/mypy
	$(VENV)/bin/djlint templates --lint --check --quiet

screenshots: $(DEV)
	$(VENV)/bin/python docs/screenshots.py

$(RUN): requirements.txt
	python3 -m venv $(VENV)
	$(INSTALL) requirements.txt
	@touch $@

$(DEV): requirements-dev.txt $(RUN)
	$(INSTALL) requirements-dev.txt
	@touch $@
