"""Adds the settings of the recipes to the wheel; all else is in pyproject.toml."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

SETTINGS = ("*.yaml", "*/*.yaml", "*/hparams/*.yaml")


class BuildWithSettings(build_py):
    """Copies recipes/**.yaml to ser_lib/recipes; an editable install reads recipes/."""

    def run(self) -> None:
        """Build the package."""
        super().run()
        if not self.editable_mode:
            for source, target in self._settings().items():
                self.mkpath(str(Path(target).parent))
                self.copy_file(source, target)

    def get_source_files(self) -> list[str]:
        """Return the files of a source distribution."""
        return [*super().get_source_files(), *self._settings()]

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        """Return the files that are built."""
        outputs = super().get_outputs(include_bytecode)
        return outputs if self.editable_mode else [*outputs, *self._settings().values()]

    def _settings(self) -> dict[str, str]:
        """Return source -> target of each file, without those of runs (results/)."""
        paths = {path for pattern in SETTINGS for path in Path("recipes").glob(pattern)}
        sources = sorted(path for path in paths if "results" not in path.parts)
        return {str(s): str(Path(self.build_lib, "ser_lib", s)) for s in sources}


setup(cmdclass={"build_py": BuildWithSettings})
