"""Channel masks and cache plans of kscope, as NumPy arrays; `kscope.hf` decodes with them."""

from ._file import Mask, load

__all__ = ["Mask", "load"]
__version__ = "0.1.0"
