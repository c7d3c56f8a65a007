"""Networks in files of other runtimes, as `convscale export` writes them: opened and run.

Each runtime lies in a file of its own, which is imported when a file is opened; `network` alone needs PyTorch.
"""

from convscale.exported.formats import FORMATS, Format, format_named, format_of, is_exported

__all__ = ["FORMATS", "Format", "format_named", "format_of", "is_exported"]
