# The words of this workspace. The first use of a word sets up what it needs (requirements/prepare
# says what and why); what is ready is known by stamps keyed by content, so a second use is instant.

SHELL := /bin/sh
BIN := .venv/bin
MEMBERS := core/pyproject.toml sidecar/pyproject.toml operator/pyproject.toml cli/pyproject.toml
# Keyed by the folder too: a moved checkout has stale paths in its .venv.
key = $(shell { echo '$(CURDIR)'; cat requirements/prepare requirements/uv.txt $(1); } | cksum | tr ' ' '-')
RUN_READY := .venv/.ready/run-$(call key,requirements/run.txt $(MEMBERS))
DEV_READY := .venv/.ready/dev-$(call key,requirements/dev.txt)
BENCH_READY := .venv/.ready/bench-$(call key,requirements/bench.txt)
MCP1_READY := .venv-mcp1/.ready/mcp1-$(call key,requirements/mcp1.txt)
PHOENIX_READY := .venv-phoenix/.ready/phoenix-$(call key,requirements/phoenix.txt)
NPM_READY := .cache/npm/.ready/npm-$(call key,requirements/npm/package-lock.json)

.DEFAULT_GOAL := help
.PHONY: help run test check fix bench soak soak-operator charts docs dist plugin clean pins images numbers wheelhouse e2e e2e-api e2e-node \
	cluster-build cluster-up cluster-down \
	check-format check-lint check-types check-imports check-dependencies check-examples

help:  ## list these words
	@sed -n 's/^\([a-z0-9-]*\):.*  ## /  make \1|/p' $(MAKEFILE_LIST) | while IFS='|' read -r word text; \
		do printf '%-15s %s\n' "$$word" "$$text"; done

run: $(RUN_READY)  ## guard two real MCP servers with the policy of examples/quickstart
	@examples/quickstart/prepare && exec $(BIN)/mesh7 run examples/quickstart $(ARGS)

test: $(DEV_READY) $(MCP1_READY) $(PHOENIX_READY) $(NPM_READY)  ## run every test; ARGS="-k word" for some
	@exec $(BIN)/python -m pytest $(ARGS)

check: check-format check-lint check-types check-imports check-dependencies check-examples  ## format, lint, types, imports, dependencies, examples (-k shows all)
	@echo 'check: all clean'

check-format: $(DEV_READY)
	$(BIN)/ruff format --check
check-lint: $(DEV_READY)
	$(BIN)/ruff check
check-types: $(DEV_READY)
	$(BIN)/mypy
check-imports: $(DEV_READY)
	$(BIN)/lint-imports
check-dependencies: $(DEV_READY)
	cd core && ../$(BIN)/deptry src --known-first-party mesh7_core --per-rule-ignores DEP003=pydantic_core
	cd sidecar && ../$(BIN)/deptry src --known-first-party mesh7_sidecar
	cd operator && ../$(BIN)/deptry src --known-first-party mesh7_operator
	cd cli && ../$(BIN)/deptry src --known-first-party mesh7_cli
check-examples: $(DEV_READY)
	$(BIN)/mesh7 check examples/

fix: $(DEV_READY)  ## let ruff repair what it can, and format
	-$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(BENCH_READY)  ## measure against Envoy and no gateway at all (docs/developer/performance.md)
	@exec $(BIN)/python -m bench $(ARGS)

soak-operator: $(DEV_READY)  ## 2,000 policies in 500 namespaces on a real API server; SOAK="--namespaces 50" for fewer
	@$(BIN)/python -m e2e.cluster build --level api
	@$(BIN)/python -m e2e.soak $(SOAK)

soak: $(BENCH_READY) soak-operator  ## the operator's soak, then a million calls through a gateway with each ledger; ARGS="--calls 100000" for fewer
	@exec $(BIN)/python -m bench soak $(ARGS)

e2e: e2e-api e2e-node  ## both of the following

e2e-api: $(DEV_READY)  ## test on a real Kubernetes API server, built on first use; ARGS="-k word" for some
	@$(BIN)/python -m e2e.cluster build --level api
	@exec $(BIN)/python -m pytest e2e/api $(ARGS)

e2e-node: $(DEV_READY) $(PHOENIX_READY)  ## test on a real node with real pods, and tell the stories (root on Debian: containerd, runc, buildah are installed); ARGS="-k word"
	@$(BIN)/python -m e2e.cluster build --level node
	@e2e/cluster/prepare
	@$(BIN)/python -m images build
	@exec $(BIN)/python -m pytest e2e/node e2e/stories $(ARGS)

numbers: $(DEV_READY)  ## what guarding and approving cost, on a real node; ARGS=approvals for that part
	@$(BIN)/python -m e2e.cluster build --level node
	@e2e/cluster/prepare
	@exec $(BIN)/python -m e2e.numbers $(ARGS)

images: $(DEV_READY)  ## build the images and those of the tests into build/images (root on Debian); ARGS="sidecar --base NAME"
	@e2e/cluster/prepare
	@exec $(BIN)/python -m images build $(ARGS)

wheelhouse: $(DEV_READY)  ## fetch what `docker build -f Dockerfile.sidecar .` installs; ARGS="--python 3.12 --machine aarch64"
	@exec $(BIN)/python -m images wheelhouse $(ARGS)

cluster-build: $(DEV_READY)  ## build Kubernetes for the test cluster, once, outside the checkout; ARGS="--level node" for all of it
	@exec $(BIN)/python -m e2e.cluster build $(ARGS)

cluster-up: $(DEV_READY)  ## raise a cluster to play with (docs/developer/test-cluster.md); ARGS="--name other --level node"
	@exec $(BIN)/python -m e2e.cluster up $(ARGS)

cluster-down: $(DEV_READY)  ## end it and leave nothing behind; ARGS="--name other" or --all
	@exec $(BIN)/python -m e2e.cluster down $(ARGS)

charts: $(DEV_READY)  ## write what is made from the charts: goldens, kinds, the page of values
	@$(BIN)/python -m e2e.cluster build --level api
	@$(BIN)/python -m e2e.charts

docs: $(DEV_READY)  ## write the tables of docs/reference/telemetry.md, prove that every link and anchor leads somewhere
	@$(BIN)/python -m tests.architecture.telemetry_page
	$(BIN)/python -m pytest -q tests/architecture/test_documentation.py

dist: $(DEV_READY)  ## build the four wheels into dist/ and install them in an empty venv
	@rm -rf dist .cache/dist-venv
	@for member in core sidecar operator cli; do \
		(cd $$member && ../$(BIN)/python -m flit_core.wheel --outdir ../dist) || exit 1; done
	@echo 'dist: installing the wheels in an empty venv, to see that what they declare is enough'
	@UV_SYSTEM_CERTS=1 $(BIN)/uv venv --quiet --python $(BIN)/python .cache/dist-venv
	@UV_SYSTEM_CERTS=1 $(BIN)/uv pip install --quiet --python .cache/dist-venv/bin/python \
		--constraint requirements/dev.txt dist/*.whl
	@cd .cache && dist-venv/bin/mesh7 --version && dist-venv/bin/mesh7-operator --version
	@cd .cache && dist-venv/bin/kubectl-mesh7 --version && dist-venv/bin/kubectl_complete-mesh7 st
	@ls dist

plugin: $(DEV_READY)  ## make dist/kubectl-mesh7.pyz, which runs with any Python of this platform, and its archive; ARGS="--python 3.13" for one
	@$(BIN)/python -m images plugin $(ARGS)
	@echo 'plugin: starting it without any other package, to see that all it needs is in it'
	@$(if $(ARGS),,env -i XDG_CACHE_HOME="$$PWD/.cache" $(BIN)/python -IS dist/kubectl-mesh7.pyz test \
		-f examples/quickstart/policy.yaml -f examples/quickstart/sources.yaml -f examples/quickstart/cases.yaml)

pins: $(DEV_READY)  ## compile requirements/*.in into hash-pinned *.txt again
	@requirements/prepare pins

clean:  ## remove caches, dist and build; .venv and .venv-* stay (delete them for a fresh start)
	rm -rf dist build .cache .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find core sidecar operator cli tests e2e bench images -name __pycache__ -type d -prune -exec rm -rf {} +

$(RUN_READY):
	@requirements/prepare run $@
$(DEV_READY): $(RUN_READY)
	@requirements/prepare dev $@
$(BENCH_READY): $(RUN_READY)
	@requirements/prepare bench $@
$(MCP1_READY): $(RUN_READY)
	@requirements/prepare mcp1 $@
$(PHOENIX_READY): $(RUN_READY)
	@requirements/prepare phoenix $@
$(NPM_READY): $(DEV_READY)
	@requirements/prepare npm $@
