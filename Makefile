# The menu. Each target is one short script in scripts/.

.PHONY: help up setup guest image build test long check bench simulate fuzz

help:            ## This list
	@grep -hE '^[a-z]+: .*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):[^#]*## /  make \1\t/' | expand -t 18

up:              ## Install what is missing, build, start a local network (Ctrl-C stops it)
	@scripts/up.sh

setup:           ## Install the host tools that microVMs need
	@scripts/setup.sh

guest:           ## Build the kernel and root filesystem of microVMs (once)
	@scripts/guest.sh

image:           ## Build the Debian image of instances (once)
	@scripts/image.sh

build:           ## Build the binary: target/release/beth
	@scripts/build.sh

test:            ## Every test
	@scripts/test.sh

long:            ## The tests that take minutes
	@scripts/test-long.sh

check:           ## Formatting, lints, unit tests
	@scripts/check.sh

bench:           ## Measure, print tables (docs/benchmarks.md keeps the last ones)
	@scripts/bench.sh

simulate:        ## A thousand nodes in virtual time: delays, bytes, repair (docs/simulation.md)
	@scripts/simulate.sh

fuzz:            ## Fuzz every target for a minute (fuzz/README.md)
	@scripts/fuzz.sh
