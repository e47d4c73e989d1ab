"""Fuzzing of the data path: `make fuzz SECONDS=60`, as docs/fuzzing.md describes it.

- build.py: compiles everything once more, with AddressSanitizer, all checks of Cython, and edges counted
- scene.pyx: the data path between two ends that are no sockets
- coverage.c: tells libFuzzer which edges were reached
- requests.py: what must hold for whatever a client sends
- responses.py: what must hold for whatever an upstream sends
- reading.py: what both of these read and cut
- seeds.py: where they begin
- target.py: one run of libFuzzer, through atheris
- __main__.py: all of it, and what came of it
"""
