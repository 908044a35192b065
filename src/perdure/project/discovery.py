"""Where code comes from: modules and scripts are found, and loaded once.

A run is stored with the *source* of its code, so that another process can import it:
"package.module", or "file:/abs/path.py" for code that has no name by which a fresh interpreter
would find it (a script that was run as `__main__`, a file somewhere else). "" means nowhere: an
interactive session.

Rules of this file:

1. No file is executed twice in one process. The script that runs as `__main__`, and a file that was
   imported already under another name, are handed out as they are.
2. A script loaded from its file never sees `__name__ == "__main__"`.
3. A module that fails, even by `sys.exit()`, is an error that names file, line and reason; what it
   left in `sys.modules` and declared is taken out, so that it can be tried again once it is mended.
4. What is imported to find code in it starts nothing (`refuse_while_loading`). That covers the
   thread that imports. One that the module starts is not refused: it looks like any other thread
   of a host, and those may start runs while something is imported.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import re
import sys
import threading
import traceback
from collections.abc import Callable
from functools import lru_cache
from importlib.machinery import SourceFileLoader
from importlib.util import find_spec, module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

from perdure.author import registry
from perdure.core.codec.names import stands_for
from perdure.core.errors import DiscoveryError, PerdureError, UsageError
from perdure.project import folder

_FILE = "file:"
_PERDURE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
PRIVATE = "_perdure_file_"
"""How the names of modules begin that were loaded from a file."""

_loading = threading.RLock()


class _Imports(threading.local):
    """What this thread is loading for somebody who looks for code in it."""

    source = ""


_imports = _Imports()


def refuse_while_loading(what: str) -> None:
    """Refuse what a module must not do when it is imported only for what it declares: whoever
    looks for the code of a run would start another one.

    Raises:
        UsageError: This thread is importing a module for that.
    """
    if _imports.source:
        raise UsageError(
            f"{what} is executed when {_imports.source} is imported to find its functions; "
            f"{_UNDER_MAIN}"
        )


_UNDER_MAIN = 'put it under `if __name__ == "__main__":`'


def load_module(source: str, project_root: Path) -> ModuleType:
    """Load the code that a source names, once.

    Args:
        source: "package.module", "file:/abs/path.py", or the path of a `.py` file beginning at
            the project.
        project_root: The project; it and its `src` folder are put on `sys.path`.

    Raises:
        DiscoveryError: There is no such module, or it cannot be imported.
    """
    _put_on_path(project_root / "src")
    _put_on_path(project_root)
    outer, _imports.source = _imports.source, source.removeprefix(_FILE)
    try:
        if source.startswith(_FILE):
            return _load_file(Path(source.removeprefix(_FILE)), project_root)
        if source.endswith(".py"):
            return _load_file(project_root / source, project_root)
        return _load_name(source, project_root)
    except DiscoveryError:
        registry.forget_gone()
        raise
    finally:
        _imports.source = outer


def resolve(text: str, project_root: Path | None = None) -> object:
    """Find what "package.module:name" or "path/to/file.py:name" names.

    Args:
        text: The name; a path begins at the current folder.
        project_root: Where modules are looked for; None: in the project around the current
            folder, else in that folder.

    Raises:
        DiscoveryError: There is no such module or name (the nearest ones are named), or the
            module cannot be imported.
    """
    source, _, name = text.rpartition(":")
    if not source or not name or source == "file":
        raise DiscoveryError(
            f"{text!r} names no function; write MODULE:NAME as in app:fulfil, or FILE.py:NAME"
        )
    if project_root is None:
        project = folder.find()
        project_root = project.root if project else Path.cwd()
    if source.endswith(".py") and not source.startswith(_FILE):
        source = _FILE + os.path.abspath(os.path.expanduser(source))
    return _named_in(load_module(source, project_root), name)


def source_of(fn: object, project_root: Path | None = None) -> str:
    """Tell where another process can import a function from; "" for nowhere.

    Args:
        fn: Anything with `__module__`.
        project_root: The project whose workers will import it. A file beside a script is
            importable for that script alone; if it lies elsewhere than this folder or its `src`,
            its source is the file.
    """
    name = getattr(fn, "__module__", None)
    module = sys.modules.get(name) if isinstance(name, str) else None
    if module is None or not isinstance(name, str):
        return ""
    file = file_of(module)
    if name == "__main__":
        # `python -m package.module` says under which name it runs; `python script.py` does not.
        spec = module.__spec__
        if spec is not None:
            return spec.name
    elif _is_importable(name, file) and not _is_beside_script(name, file, project_root):
        return name
    return _FILE + file if file else ""


def declared_elsewhere(fn: Callable[..., object], source: str) -> str:
    """Whether a source still declares a callable of the same name that is not this one.

    A name says which code a run belongs to; two files of a project may use one name by mistake.

    Args:
        fn: The callable that is here.
        source: Where a run says that its code is.

    Returns:
        The file of the other one; "" if there is none: the source is this one's own, or is gone,
        or the callable was moved out of it.
    """
    module = sys.modules.get(fn.__module__)
    here = file_of(module) if module is not None else ""
    if source.startswith(_FILE):
        there = _real(source.removeprefix(_FILE))
    else:
        try:
            spec = find_spec(source)
        except (ImportError, ValueError, AttributeError):
            return ""
        there = _real(spec.origin) if spec is not None and spec.origin else ""
    if not there or there == here or not os.path.isfile(there):
        return ""
    try:
        text = Path(there).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    declares = re.search(rf"^\s*(async\s+)?def\s+{re.escape(fn.__name__)}\b", text, re.MULTILINE)
    return there if declares else ""


def introduce_main(project_root: Path | None = None) -> None:
    """Let the classes of the script that runs be written under the name by which other processes
    load its file, and be found under that name: "__main__" is another script everywhere else."""
    main = sys.modules.get("__main__")
    file = file_of(main) if main is not None else ""
    if main is None or not file:
        return
    if main.__spec__ is not None:
        stands_for("__main__", main.__spec__.name)
        return
    name = _name_of(Path(file), project_root) if project_root is not None else None
    stands_for("__main__", name or _FILE + file)


# --- Loading -------------------------------------------------------------------------------------


def _load_name(name: str, project_root: Path) -> ModuleType:
    main = sys.modules.get("__main__")
    if main is not None and main.__spec__ is not None and main.__spec__.name == name:
        return main
    if not all(part.isidentifier() for part in name.split(".")):
        hint = f"; for a file write {name}.py" if os.sep in name else ""
        raise DiscoveryError(f"{name!r} is not the name of a module such as package.module{hint}")
    if name not in sys.modules:
        importlib.invalidate_caches()  # the file may be younger than the last look at its folder
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise _not_there(name, error.name, project_root) from None
        raise _broken(f"module {name}", error) from error
    except (Exception, SystemExit) as error:
        raise _broken(f"module {name}", error) from error


def _load_file(path: Path, project_root: Path) -> ModuleType:
    file = os.path.realpath(path)
    if not os.path.isfile(file):
        raise DiscoveryError(f"there is no file {path}; was it moved or deleted?")
    with _loading:
        if (loaded := _loaded_from(file)) is not None:
            return loaded
        name = _name_of(Path(file), project_root)
        if name is not None:
            if "." in name:
                _load_name(name.rpartition(".")[0], project_root)
            if name not in sys.modules and _is_importable(name, file):
                return _load_name(name, project_root)
        # Python puts the folder of a script on the path; its neighbours are imported from there.
        _put_on_path(Path(file).parent)
        return _execute(file)


def _execute(file: str) -> ModuleType:
    """Execute a file as a module whose private name is the same in every process."""
    digest = hashlib.blake2b(file.encode(), digest_size=4).hexdigest()
    name = f"{PRIVATE}{Path(file).stem}_{digest}"
    loader = SourceFileLoader(name, file)
    spec = spec_from_loader(name, loader)
    assert spec is not None
    module = module_from_spec(spec)
    sys.modules[name] = module
    stands_for(name, _FILE + file)
    try:
        loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        if isinstance(error, Exception | SystemExit):
            raise _broken(f"file {file}", error) from error
        raise
    return module


def _put_on_path(directory: Path) -> None:
    if directory.is_dir() and str(directory) not in sys.path:
        sys.path.insert(0, str(directory))


def _loaded_from(file: str) -> ModuleType | None:
    for module in list(sys.modules.values()):
        if file_of(module) == file:
            return module
    return None


def file_of(module: ModuleType) -> str:
    """The source file of a module, without symbolic links; "" if it has none."""
    file = getattr(module, "__file__", None)
    # A program that is read from stdin calls its file "<stdin>".
    return _real(file) if isinstance(file, str) and not file.startswith("<") else ""


@lru_cache(maxsize=4096)
def _real(file: str) -> str:
    return os.path.realpath(file)


def _name_of(path: Path, project_root: Path) -> str | None:
    """The name by which a worker of this project would import the file, if it would."""
    parts = [path.stem]
    parent = path.parent
    while (parent / "__init__.py").exists():
        parts.insert(0, parent.name)
        parent = parent.parent
    root = project_root.resolve()
    if path.suffix != ".py" or parent not in (root, root / "src"):
        return None
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts) or None


@lru_cache(maxsize=4096)
def _is_importable(name: str, file: str) -> bool:
    """Whether importing this name afresh would execute this file, and not another one."""
    parent, _, _ = name.rpartition(".")
    path = getattr(sys.modules.get(parent), "__path__", None)
    if parent and path is None:
        return False
    for finder in sys.meta_path:
        spec = finder.find_spec(name, path)
        if spec is not None:
            return spec.origin is not None and os.path.realpath(spec.origin) == file
    return False


def _is_beside_script(name: str, file: str, project_root: Path | None) -> bool:
    if project_root is None or "." in name:
        return False
    script = file_of(sys.modules["__main__"])
    parent = Path(file).parent
    root = project_root.resolve()
    return bool(script) and Path(script).parent == parent and parent not in (root, root / "src")


# --- Errors --------------------------------------------------------------------------------------


def _not_there(name: str, missing: str, project_root: Path) -> DiscoveryError:
    from difflib import get_close_matches

    parent, _, leaf = missing.rpartition(".")
    here = [project_root, project_root / "src"]
    if parent in sys.modules:
        here = [Path(entry) for entry in getattr(sys.modules[parent], "__path__", [])]
    candidates = {entry for directory in here for entry in _modules_in(directory)}
    near = get_close_matches(leaf, candidates, n=1)
    full = f"{parent}.{near[0]}" if parent and near else "".join(near)
    hint = f"did you mean {full}?" if near else "is it spelled right, and is it installed here?"
    wanted = f"module {name}" if name == missing else f"module {name} (there is no {missing})"
    return DiscoveryError(
        f"cannot find {wanted}; looked in {project_root}, its src folder and the packages of "
        f"{sys.executable}; {hint}"
    )


def _modules_in(directory: Path) -> list[str]:
    try:
        entries = list(os.scandir(directory))
    except OSError:
        return []
    names = [entry.name.removesuffix(".py") for entry in entries if entry.name.endswith(".py")]
    names += [entry.name for entry in entries if entry.is_dir()]
    return [name for name in names if name.isidentifier() and not name.startswith("__")]


def _broken(what: str, error: BaseException) -> DiscoveryError:
    """An error that says where a module failed: the last frame that is not the import system's."""
    last = traceback.format_exception_only(error)[-1].strip()
    if isinstance(error, PerdureError):
        last = str(error)  # a sentence, with the mend
    if isinstance(error, SyntaxError):
        place = f" ({error.filename}, line {error.lineno})"
    else:
        frames = [
            frame
            for frame in traceback.extract_tb(error.__traceback__)
            if not frame.filename.startswith("<frozen importlib")
            and not frame.filename.startswith(os.path.dirname(importlib.__file__))
            and not frame.filename.startswith(_PERDURE)
        ]
        place = f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""
    mend = "" if isinstance(error, PerdureError) else "; mend it and try again"
    if isinstance(error, ModuleNotFoundError) and error.name is not None:
        mend = f"; install {error.name.partition('.')[0]} for {sys.executable}, or mend the import"
    elif isinstance(error, SystemExit):
        mend = '; put what ends the program under `if __name__ == "__main__":`'
    return DiscoveryError(f"{what} cannot be imported: {last}{place}{mend}")


def _named_in(module: ModuleType, name: str) -> object:
    found: object = module
    for part in name.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise _no_such_name(module, found, part) from None
    return found


def _no_such_name(module: ModuleType, owner: object, name: str) -> DiscoveryError:
    from difflib import get_close_matches

    public = [
        candidate
        for candidate, value in vars(owner).items()
        if not candidate.startswith("_") and getattr(value, "__module__", None) == module.__name__
    ]
    near = get_close_matches(name, public, n=1) or get_close_matches(name, dir(owner), n=1)
    if near:
        hint = f"did you mean {near[0]}?"
    elif public:
        hint = f"it has {', '.join(sorted(public)[:10])}"
    else:
        hint = "nothing is defined in it"
    where = file_of(module) or module.__name__
    return DiscoveryError(f"there is no {name} in {where}; {hint}")
