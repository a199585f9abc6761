"""bench: is one training loss really better than another?

    suite = bench.load("suites/quickstart.yaml")
    bench.run(suite)
    bench.report(suite)

docs/api.md has all of it. Each name is imported when it is used first: importing bench costs nothing.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.errors import BenchError
    from bench.front.door import (
        Report,
        Suite,
        bundle,
        compare,
        load,
        merge,
        plan,
        report,
        run,
        site,
        status,
        verify,
    )

__all__ = [
    "BenchError",
    "Report",
    "Suite",
    "bundle",
    "compare",
    "load",
    "merge",
    "plan",
    "report",
    "run",
    "site",
    "status",
    "verify",
]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name not in __all__:
        raise AttributeError(f"module 'bench' has no attribute '{name}'")
    found = getattr(import_module("bench.errors" if name == "BenchError" else "bench.front.door"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
