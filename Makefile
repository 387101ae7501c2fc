# SPDX-License-Identifier: MIT
# Short names for the scripts; everything real is in scripts/ and CMakeLists.txt.
.PHONY: all build deps test quick demo format clean

all: build

build:
	scripts/build

deps:
	scripts/install-deps test

test:
	scripts/test

quick:
	scripts/test --quick

demo:
	scripts/demo

format:
	git ls-files '*.c' '*.h' '*.cpp' | xargs clang-format -i

clean:
	rm -rf build
