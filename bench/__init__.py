"""bench: is one training loss really better than another?

    suite = bench.load("suites/quickstart.yaml")
    bench.run(suite)
    bench.report(suite)

docs/api.md has all of it. Each name is imported when it is used first: importing bench costs nothing.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.errors import BenchError
    from bench.front.api import (
        bundle,
        compare,
        merge,
        plan,
        report,
        run,
        site,
        status,
        verify,
    )
    from bench.front.report import Report
    from bench.front.suites import Suite, load

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
_HOMES = {
    "BenchError": "bench.errors",
    "Report": "bench.front.report",
    "Suite": "bench.front.suites",
    "load": "bench.front.suites",
}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name not in __all__:
        raise AttributeError(f"module 'bench' has no attribute '{name}'")
    value = getattr(import_module(_HOMES.get(name, "bench.front.api")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
