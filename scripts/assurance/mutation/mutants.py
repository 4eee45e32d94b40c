"""The mutants of a contract file, by the operators of slither-mutate (assurance/mutation)."""

import logging
import os
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

from slither import Slither
from slither.tools.mutator.mutators import all_mutators

from scripts.assurance.mutation import workshop
from scripts.assurance.mutation.survivors import Mutant

WHOLE = ("RR", "CR")  #  a statement replaced by a revert, or taken out


class Analysis(NamedTuple):
    """Slither's view of a copy of all contracts, and the copy's folder."""

    unit: Any
    folder: Path


def analyse(folder: Path) -> Analysis:
    """Copy all contracts into a folder, and have Slither read them."""
    workshop.copy(folder, ("contracts",))
    return Analysis(_analysed(folder), folder)


def mutants(file: str, analysis: Analysis) -> list[Mutant]:
    """Return all mutants of the file, each text once; the larger changes first.

    As in `slither-mutate`, a function that an operator cannot handle gets none of its mutants.
    """
    unit, folder = analysis
    path, source = str(folder / file), (folder / file).read_bytes()
    operators: list[Any] = sorted(
        (item for item in vars(all_mutators).values() if isinstance(item, type)),
        key=lambda item: (item.NAME not in WHOLE, item.NAME == "CR", item.NAME),
    )
    found, seen = list[Mutant](), {source}
    for operator, place in product(operators, list(_places(unit, path))):
        maker = operator(unit, 0, "", "", place, None, False, folder, [])
        try:
            made = maker._mutate()  # noqa: SLF001 (its public method runs tests of its own)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError):
            print(f"{operator.NAME} cannot handle {place.name} in {file}")
            continue
        for patch in made.get("patches", {}).get(path, ()):
            start, end = patch["start"], patch["end"]
            old, new = source[start:end].decode(), patch["new_string"]
            text = source[:start] + new.encode() + source[end:]
            if text not in seen:
                seen.add(text)
                line = source.count(b"\n", 0, start) + 1
                found.append(Mutant(operator.NAME, line, old, new, start))
    return found


def _analysed(folder: Path) -> Any:
    """Return Slither's view of the folder's contracts."""
    here = Path.cwd()
    os.environ["FOUNDRY_DYNAMIC_TEST_LINKING"] = "false"
    try:
        workshop.forge(folder, "build", "contracts", "--build-info", "--force")
        os.chdir(folder)
        logging.disable(logging.ERROR)
        return Slither(
            ".", ignore_compile=True, foundry_out_directory=workshop.OUT
        ).compilation_units[0]
    finally:
        os.chdir(here)
        os.environ.update(workshop.ENVIRONMENT)


def _places(unit: Any, path: str) -> Iterator[Any]:
    """Yield a file's functions and its contracts' variables, each as operators expect a contract.

    slither-mutate takes contracts whole, passes over functions outside of them, and gives up on a
    contract with the first function that an operator cannot handle.
    """

    def place(name: str, mapping: Any, functions: list[Any], variables: list[Any]) -> Any:
        return SimpleNamespace(
            name=name,
            source_mapping=mapping,
            functions_and_modifiers_declared=functions,
            functions_declared=functions,
            state_variables_declared=variables,
        )

    functions = list(unit.functions_top_level)
    for contract in unit.contracts:
        functions += contract.functions_and_modifiers_declared
        if contract.source_mapping.filename.absolute == path:
            variables = contract.state_variables_declared
            yield place(contract.name, contract.source_mapping, [], variables)
    for function in functions:
        if function.source_mapping.filename.absolute == path:
            yield place(function.name, function.source_mapping, [function], [])
