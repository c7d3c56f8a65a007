"""Images to batches: data sets, decoding and transforms; `convscale.data.loader` makes the batches, with PyTorch."""

from convscale.data.dataset import Dataset, open_dataset, open_images, stratified_split
from convscale.data.depth import StoredPixels
from convscale.data.images import FileImages, ImageCollection
from convscale.data.reading import decode, open_image, read_image
from convscale.data.typical import fit_to_images, typical_image

__all__ = [
    "Dataset",
    "FileImages",
    "ImageCollection",
    "StoredPixels",
    "decode",
    "fit_to_images",
    "open_dataset",
    "open_image",
    "open_images",
    "read_image",
    "stratified_split",
    "typical_image",
]
