"""Puts ``token_standard`` into the wheel: it lies beside this folder, and an editable install finds the server's copy."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

SOURCE = Path(__file__).resolve().parent.parent / "token_standard"
SHIPPED = {".py", ".json", ".typed", ".md"}


class BuildPy(build_py):
    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        for path in sorted(SOURCE.rglob("*")):
            if path.suffix in SHIPPED and "__pycache__" not in path.parts:
                target = Path(self.build_lib) / "token_standard" / path.relative_to(SOURCE)
                self.mkpath(str(target.parent))
                self.copy_file(str(path), str(target))


setup(cmdclass={"build_py": BuildPy})
