.PHONY: run test check screenshots

VENV = .venv
INSTALLED = $(VENV)/.installed

run: $(INSTALLED)
	@PORTAL_SAMPLE_DATA=$${PORTAL_SAMPLE_DATA:-on} $(VENV)/bin/flask --app wsgi serve

test: $(INSTALLED)
	$(VENV)/bin/python -m pytest

check: $(INSTALLED)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/djlint templates --lint --check --quiet

screenshots: $(INSTALLED)
	$(VENV)/bin/python docs/screenshots.py

$(INSTALLED): requirements.txt requirements-dev.txt
	python3 -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@
