"""Names the compiled modules; everything else is in pyproject.toml."""

from pathlib import Path

from setuptools import setup

from build_backend.extensions import BuildExtensions, discover

setup(ext_modules=discover(Path()), cmdclass={"build_ext": BuildExtensions})
