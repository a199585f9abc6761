"""The small job that adds seeds when the jobs before it have ended: no daemon, but a dependency of Slurm's.

A suite whose seeds are added until decided needs somebody to look when a step is done. A `bench run` that
watches does it; one that was told to detach leaves this job behind. It looks once, submits what is asked for
next, leaves another one like itself behind that, and ends.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

from bench import versions
from bench.errors import BenchError
from bench.scale import Scale


class Continuation(BaseModel):
    """What such a job needs to know: what its launcher was told."""

    suite: Path
    scale: Scale
    results: Path
    data: Path
    profile: Path
    search_path: list[str]
    code: dict[str, str] = {}
    """Digests of the user's own modules: what is added is trained with the code that was submitted."""
    since: float
    """Unix time at which a person last asked for this suite: what was cancelled later stays cancelled."""
    keep_weights: bool = False


@dataclass(frozen=True)
class Continue:
    """The callable that the job pickles: the folder of its submission."""

    folder: Path

    def __call__(self) -> str | None:
        """Add seeds. Returns why that could not be, or None."""
        from bench.launch.cluster import go_on
        from bench.launch.submission import Submission

        content = Submission.model_validate_json((self.folder / "submission.json").read_bytes())
        assert content.continuation is not None
        # sbatch and srun would take this job's own settings for those of the jobs that it submits.
        for name in [name for name in os.environ if name.startswith("SLURM_") and name != "SLURM_CONF"]:
            del os.environ[name]
        sys.path[:0] = content.continuation.search_path
        versions.use(content.continuation.results, content.continuation.code)
        try:
            go_on(content.continuation)
        except BenchError as error:
            print(error, file=sys.stderr, flush=True)
            return str(error)
        return None
