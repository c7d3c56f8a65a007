"""Images to batches: data sets, decoding, transforms, loading."""

from convscale.data.dataset import Dataset, open_dataset, open_images, stratified_split
from convscale.data.images import FileImages, ImageCollection, decode, open_image, read_image
from convscale.data.loader import Normalise, evaluation_batches, steps_per_epoch, training_batches

__all__ = [
    "Dataset",
    "FileImages",
    "ImageCollection",
    "Normalise",
    "decode",
    "evaluation_batches",
    "open_dataset",
    "open_image",
    "open_images",
    "read_image",
    "steps_per_epoch",
    "stratified_split",
    "training_batches",
]
