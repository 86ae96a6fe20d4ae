# make quickstart   install, build, run a whole study, print the path of its report
# make test         install, build, run all tests
# make setup        install only; then plain `cargo` works

.PHONY: quickstart test setup clean
.NOTPARALLEL:

quickstart: setup
	@cargo run --release --locked -- run experiments/quickstart.toml

test: setup
	cargo test --workspace --locked

setup:
	@sh .ci/setup

# Keeps runs/: results are worth more than builds.
clean:
	rm -rf target .venv .libtorch
