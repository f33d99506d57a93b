"""timm's Mlp, SwiGLU and DropPath, from its own files, without the rest of it.

`import timm` takes torchvision along, which takes two to four seconds, and fails where it was built for another torch.
So this module stands in for the package `timm.layers`: its submodules are the files that lie there.
"""

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

_found = find_spec("timm")
if _found is None or not _found.submodule_search_locations:
    raise ModuleNotFoundError("No module named 'timm'", name="timm")
__path__ = [str(Path(place) / "layers") for place in _found.submodule_search_locations]

_mlp, _drop = (import_module(f"{__name__}.{file}") for file in ("mlp", "drop"))
Mlp, SwiGLU, DropPath = _mlp.Mlp, _mlp.SwiGLU, _drop.DropPath
