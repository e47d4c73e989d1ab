"""The choice of the C compiler, and what a build says that cannot work."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from build_backend.toolchain import (
    BuildImpossible,
    Machine,
    check,
    declared_packages,
    find_compiler,
    required_packages,
    zig_commands,
)

BARE = Machine(
    system="Linux",
    architecture="x86_64",
    compiler=None,
    headers=Path("/usr/include/python3.11"),
    has_headers=True,
    has_zig=False,
)


def find(on_path: str = "", configured: str = "gcc -pthread", **environ: str) -> str | None:
    return find_compiler(environ, lambda name: f"/usr/bin/{name}" if name in on_path.split() else None, configured)


def test_the_compiler_named_by_the_user_comes_first_and_is_not_questioned():
    assert find("gcc cc", CC="ccache tcc") == "ccache tcc"


def test_an_empty_cc_is_no_choice():
    assert find("cc", CC="") == "cc"


def test_then_the_compiler_this_python_was_built_with():
    assert find("cc gcc") == "gcc -pthread"


@pytest.mark.parametrize(("on_path", "found"), [("clang", "clang"), ("clang gcc", "gcc"), ("clang gcc cc", "cc")])
def test_then_the_first_of_the_usual_names(on_path: str, found: str):
    assert find(on_path, configured="x86_64-linux-gnu-gcc -O2") == found


def test_a_machine_without_any_has_none():
    assert find("python3 make") is None


@pytest.mark.parametrize("configured", ["", "icc"])
def test_a_python_that_does_not_know_its_compiler_is_no_obstacle(configured: str):
    assert find("gcc", configured=configured) == "gcc"


def test_a_machine_with_a_compiler_needs_nothing_from_pypi():
    assert required_packages(replace(BARE, compiler="gcc")) == []


@pytest.mark.parametrize("architecture", ["x86_64", "aarch64", "riscv64"])
def test_a_machine_without_a_compiler_gets_zig(architecture: str):
    assert required_packages(replace(BARE, architecture=architecture)) == ["ziglang>=0.15"]


@pytest.mark.parametrize("machine", [replace(BARE, architecture="mips64"), replace(BARE, system="FreeBSD")])
def test_where_zig_has_no_wheel_the_build_says_so_and_what_to_install(machine: Machine):
    with pytest.raises(BuildImpossible) as caught:
        required_packages(machine)
    assert f"no wheel for {machine.system} {machine.architecture}. Install a C compiler: apt-get" in str(caught.value)


def test_no_headers_is_said_before_a_compiler_is_fetched():
    with pytest.raises(BuildImpossible) as caught:
        required_packages(replace(BARE, has_headers=False))
    assert "Python.h is missing from /usr/include/python3.11. Install them: apt-get install python3-dev" in str(
        caught.value
    )


def test_a_build_starts_with_a_compiler_or_with_zig():
    check(replace(BARE, compiler="cc"))
    check(replace(BARE, has_zig=True))


def test_a_build_outside_pip_without_either_says_how_to_get_zig():
    with pytest.raises(BuildImpossible) as caught:
        check(BARE)
    assert "-m pip install 'ziglang>=0.15'" in str(caught.value)


def test_a_build_outside_pip_without_headers_says_so():
    with pytest.raises(BuildImpossible, match="python3-dev"):
        check(replace(BARE, compiler="cc", has_headers=False))


def test_zig_compiles_for_every_machine_of_the_architecture_and_links_a_shared_library():
    commands = zig_commands("python3")
    assert commands["compiler_so"][:5] == ["python3", "-m", "ziglang", "cc", "-mcpu=baseline"]
    assert commands["linker_so"] == ["python3", "-m", "ziglang", "cc", "-mcpu=baseline", "-shared"]


def test_this_machine_can_be_asked():
    assert Machine.here().headers.is_absolute()


def test_the_declared_packages_are_those_of_pyproject(tmp_path: Path):
    (tmp_path / "pyproject.toml").write_text('[build-system]\nrequires = ["setuptools>=80", "Cython"]\n')
    assert declared_packages(tmp_path) == ["setuptools>=80", "Cython"]


def test_run_as_a_program_it_prints_what_to_install_and_needs_no_package():
    program = Path(__file__).parents[2] / "build_backend" / "toolchain.py"
    printed = subprocess.run([sys.executable, "-S", "-I", program], capture_output=True, text=True, check=True).stdout
    assert printed.splitlines()[:2] == declared_packages(program.parents[1])
