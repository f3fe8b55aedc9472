"""A run before it is made: its configuration, its identity and its folder."""

from dataclasses import dataclass, replace
from pathlib import Path

from omegaconf import DictConfig

from unrolled.runs.identity import identity, run_name, study_folder


# Compared by `is`, so that specs can be keys and a sweep may name the same run twice.
@dataclass(frozen=True, eq=False)
class RunSpec:
    """One run to be made; whoever makes it needs to know nothing else.

    Attributes:
        config: resolved, as a record keeps it.
        identity: of the configuration, the data's content and the code of classes of one's own.
        study: the folder of the study.
        name: of the run, and of its folder.
    """

    config: DictConfig
    identity: str
    study: Path
    name: str

    @classmethod
    def of(cls, config: DictConfig, fingerprint: str) -> "RunSpec":
        """The run that a configuration describes.

        Args:
            config: as ``plain`` gives it.
            fingerprint: of the data.

        Raises:
            ConfigError: ``name_by`` names a key that the configuration lacks.
        """
        key = identity(config, fingerprint)
        return cls(config, key, study_folder(config), run_name(config, key))

    @property
    def folder(self) -> Path:
        """Where the run's record is, unless another sweep named it otherwise."""
        return self.study / self.name

    def elsewhere(self, config: DictConfig) -> "RunSpec":
        """The same run, its paths as another machine or working folder needs them."""
        return replace(self, config=config, study=study_folder(config))
