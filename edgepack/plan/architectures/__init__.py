"""Architectures: one file a family, found by its name: the model_type of a config.json, with `_` for `-`.

A family's file holds a `FAMILY`. Files that start with `_` hold what several families share.
"""

import importlib
import importlib.util
import pkgutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from edgepack.core.errors import EdgepackError
from edgepack.core.showing import shown
from edgepack.plan.family import Family


class _Folder(Mapping[str, Family]):
    """The families of this folder by model_type. A family's file is loaded when somebody asks for it.

    Only transformers are listed; a table of vectors, which has nothing that can be cut, is there for those who ask by its name.
    """

    def __init__(self) -> None:
        self._loaded: dict[str, Family] = {}

    def __getitem__(self, model_type: str) -> Family:
        if model_type not in self._loaded:
            module = str(model_type).replace("-", "_")
            if module not in self._modules():
                raise KeyError(model_type)
            family: Family = importlib.import_module(f"{__name__}.{module}").FAMILY
            if family.model_type != model_type:
                raise KeyError(model_type)
            self._loaded[model_type] = family
        return self._loaded[model_type]

    def add(self, family: Family) -> None:
        """Makes a family from elsewhere known to this process."""
        self._loaded[family.model_type] = family

    def __iter__(self) -> Iterator[str]:
        here = [importlib.import_module(f"{__name__}.{module}").FAMILY for module in self._modules()]
        yield from dict.fromkeys(family.model_type for family in (*here, *self._loaded.values()) if not family.is_table)

    def __len__(self) -> int:
        return len([*iter(self)])

    @staticmethod
    def _modules() -> list[str]:
        return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))


FAMILIES = _Folder()


def add_family(file: Path) -> Family:
    """Runs a Python file that holds a `FAMILY`, and makes the family known to this process. EdgepackError: it holds none."""
    fix = "write a file like edgepack/plan/architectures/bert.py: it sets FAMILY to a Family"
    spec = importlib.util.spec_from_file_location(f"edgepack_family_{file.stem}", file)
    if spec is None or spec.loader is None or not file.is_file():
        raise EdgepackError(f"no Python file: {file}", fix)
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise EdgepackError(f"{file} cannot be run: {type(error).__name__}: {error}", fix) from None
    family = getattr(module, "FAMILY", None)
    if not isinstance(family, Family):
        raise EdgepackError(f"{file} sets no FAMILY that is a Family", fix)
    FAMILIES.add(family)
    return family


def family_of(config: Mapping[str, Any], place: str) -> Family:
    """The family of a model's config.json. EdgepackError: an unknown architecture, or a build that the family does not stand for."""
    model_type = config.get("model_type")
    if not isinstance(model_type, str) or model_type not in FAMILIES:
        if config.get("is_encoder_decoder") is True:
            raise EdgepackError(
                f"unknown model family in {place}: model_type {shown(model_type)} is an encoder with a decoder, and edgepack builds "
                f"encoders and decoders by themselves (known: {', '.join(sorted(FAMILIES))})",
                "give a model of one of these families that does the same task",
            )
        raise EdgepackError(
            f"unknown model family in {place}: model_type {shown(model_type)} (known: {', '.join(sorted(FAMILIES))})",
            "add a file to edgepack/plan/architectures with its module paths and config "
            "keys, and try it with `edgepack check-architecture`",
        )
    family = FAMILIES[model_type]
    for name, value in family.only.items():
        allowed, absent = value if isinstance(value, tuple) else (value,), name not in config
        if name in family.must_state if absent else config[name] not in allowed:
            stated, known = "not stated" if absent else shown(config[name]), " or ".join(map(repr, allowed))
            raise EdgepackError(
                f"{place} describes an unknown kind of {model_type}: {name} is {stated}",
                f"edgepack knows {model_type} only with {name} = {known}. Another kind needs its own file in edgepack/plan/architectures",
            )
    return family
