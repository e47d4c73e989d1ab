"""Names the compiled modules; everything else is in pyproject.toml."""

from setuptools import setup

from build_backend.extensions import BuildExtensions, discover

setup(ext_modules=discover("."), cmdclass={"build_ext": BuildExtensions})
