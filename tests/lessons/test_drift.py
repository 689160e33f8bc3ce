"""A notebook builds the definitions of its own module, word for word, and no others.

The modules of lesson NN are those of lessons/robust_client whose docstring begins with
"Lesson NN". If it goes on ", imported by its notebook", the notebook builds none of it.
"""

import ast
import difflib
import re
from pathlib import Path

import pytest

from tests.lesson_files import NOTEBOOKS, ROOT, SCRIPTS, code_of, parse, stems

MODULES = sorted((ROOT / "lessons" / "robust_client").glob("[a-z]*.py"))
Definitions = dict[str, ast.stmt]


def definitions(code: str) -> Definitions:
    """Return the functions, classes and constants that code defines at the top."""
    found: Definitions = {}
    for node in parse(code).body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found[node.name] = node
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]).isupper():
            found[ast.unparse(node.targets[0])] = node
    return found


def lesson_of(module: Path) -> str:
    """Return the number of the lesson that builds a module, "05" or "09, imported"."""
    docstring = ast.get_docstring(ast.parse(module.read_text(encoding="utf-8"))) or ""
    number = re.match(r"Lesson (\d\d(?:, imported)?)\b", docstring)
    assert number, f"the docstring of {module.name} does not begin with Lesson NN"
    return number[1]


def differences(cells: list[str], own: Definitions, others: Definitions) -> list[str]:
    """Return what is not as it should be in the cells of a notebook.

    own: the definitions of its modules. others: those of all other lessons.
    """
    wrong, seen = [], set()
    for cell in cells:
        for name, node in definitions(cell).items():
            seen.add(name)
            if name in own and ast.dump(node) != ast.dump(own[name]):
                there, here = ast.unparse(own[name]), ast.unparse(node)
                lines = difflib.unified_diff(
                    there.splitlines(), here.splitlines(), "module", "notebook", n=0
                )
                wrong.append("\n".join([f"{name} differs:", *lines]))
            elif name in others and name not in own and not name.isupper():
                wrong.append(f"{name} is another lesson's: import it")
    return wrong + [f"{name} is in no cell" for name in own if name not in seen]


def by_lesson() -> dict[str, Definitions]:
    """Return the definitions of all modules, by the number of their lesson."""
    found: dict[str, Definitions] = {}
    for module in MODULES:
        if module.stem != "__init__":
            code = module.read_text(encoding="utf-8")
            found.setdefault(lesson_of(module), {}).update(definitions(code))
    return found


@pytest.mark.parametrize("path", NOTEBOOKS, ids=stems(NOTEBOOKS))
def test_notebook_builds_its_module(path: Path) -> None:
    """Each definition of a lesson's modules is in its notebook, to the letter."""
    known = by_lesson()
    own = known.pop(path.name[:2], {})
    others = {name: node for lesson in known.values() for name, node in lesson.items()}
    wrong = differences(code_of(path), own, others)
    assert not wrong, f"{path.name}:\n" + "\n".join(wrong)


@pytest.mark.parametrize("path", SCRIPTS, ids=stems(SCRIPTS))
def test_script_restates_nothing(path: Path) -> None:
    """A script defines no name that a module has: it imports that."""
    known = {name for names in by_lesson().values() for name in names}
    known = {name for name in known if not name.isupper()}
    again = known & definitions(path.read_text(encoding="utf-8")).keys() - {"main"}
    assert not again, f"{path.name} defines {sorted(again)} anew: import them"


ADD = "def add(a, b):\n    '''Add.'''\n    return a + b"
TAX = "TAX = 3"


@pytest.mark.parametrize(
    ("cells", "word"),
    [
        ([ADD, TAX], ""),
        ([f"x = 1\n\n\n{ADD}  # fine", f"{TAX}\nadd(1, 2)"], ""),
        ([ADD], "TAX is in no cell"),
        ([ADD.replace("a + b", "b + a"), TAX], "+    return b + a"),
        ([ADD.replace("Add.", "Sum."), TAX], "Sum"),
        ([ADD, "TAX = 4"], "+TAX = 4"),
        ([ADD, TAX, "class Other:\n    pass"], "Other is another lesson's"),
    ],
)
def test_drift_is_noticed(cells: list[str], word: str) -> None:
    """Equal definitions pass; a difference, a gap and a restatement are reported."""
    own = definitions(f"{ADD}\n{TAX}")
    others = definitions("class Other:\n    '''Elsewhere.'''")
    wrong = "\n".join(differences(cells, own, others))
    assert bool(wrong) == bool(word) and word in wrong, wrong
