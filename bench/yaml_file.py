"""YAML files: what is wrong in one is said with file and line, and nothing is dropped in silence."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

import yaml

from bench.disk import write_atomically
from bench.errors import BenchError, unknown


class _UniqueKeys(yaml.SafeLoader):
    """YAML that does not drop the first of two equal keys in silence."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if str(key) in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"found the key '{key}' twice", key_node.start_mark
                )
            seen.add(str(key))
        return super().construct_mapping(node, deep)


def _whole(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    return int(loader.construct_scalar(node))  # 010 is ten, and no octal number


_UniqueKeys.add_constructor("tag:yaml.org,2002:int", _whole)

# YAML 1.1 reads 4:00:00 as the number 14400, and 1e-3 as a word. These are the rules of YAML 1.2.
_UniqueKeys.yaml_implicit_resolvers = {
    first: [rule for rule in rules if rule[0] not in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_UniqueKeys.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"^[-+]?[0-9][0-9_]*$"), list("-+0123456789")
)
_UniqueKeys.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"^[-+]?(\.[0-9]+|[0-9][0-9_]*(\.[0-9]*)?)([eE][-+]?[0-9]+)?$|^[-+]?\.(inf|Inf|INF)$|^\.(nan|NaN|NAN)$"
    ),
    list("-+.0123456789"),
)


def shipped(path: Path, kind: Literal["suites", "slurm"]) -> Path:
    """A suite or profile that comes with ``bench``, by its name; the path itself where it names a file.

    Raises:
        BenchError: a name, with no ending and no folder, that neither a file nor one of these has.
    """
    if path.suffix or path.is_absolute() or path.is_file():
        return path
    folder = Path(__file__).parent / kind
    names = [str(file.relative_to(folder).with_suffix("")) for file in sorted(folder.glob("**/*.yaml"))]
    if str(path) in names:
        return (folder / f"{path}.yaml").resolve()
    if path.exists():
        return path
    what = "suite" if kind == "suites" else "profile"
    raise BenchError(f"{path}: there is no such file; {unknown(what, str(path), names)}")


def read_yaml(path: Path) -> Any:
    """Parse a YAML file. Raises BenchError with file and line where it cannot be read."""
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeys)
    except FileNotFoundError:
        near = sorted(str(file) for file in path.parent.glob("*.y*ml")) if path.parent.is_dir() else []
        hint = f"; there are {', '.join(near)}" if near else ""
        raise BenchError(f"{path}: there is no such file{hint}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise BenchError(f"{path}: cannot be read: {error}") from None
    except ValueError as error:  # of a date that does not exist
        raise BenchError(f"{path}: not valid YAML: {error}") from None
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        colon = "mapping values are not allowed" in str(error.problem)
        hint = '; a text with a colon in it stands in quotes, as in key: "text: more"' if colon else ""
        raise BenchError(f"{path}{line}: not valid YAML: {error.problem}{hint}") from None
    except yaml.YAMLError as error:
        raise BenchError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None


class _Quoted(yaml.SafeDumper):
    """Quotes each text that either YAML, 1.1 or 1.2, would take for something else."""


_Quoted.yaml_implicit_resolvers = {
    first: [
        *yaml.SafeDumper.yaml_implicit_resolvers.get(first, []),
        *_UniqueKeys.yaml_implicit_resolvers.get(first, []),
    ]
    for first in {*yaml.SafeDumper.yaml_implicit_resolvers, *_UniqueKeys.yaml_implicit_resolvers}
}


def write_yaml(path: Path, values: Any) -> None:
    """Write plain data such that :func:`read_yaml` gives the same."""
    text = yaml.dump(values, Dumper=_Quoted, sort_keys=False, allow_unicode=True, width=110)
    write_atomically(path, text.encode())
