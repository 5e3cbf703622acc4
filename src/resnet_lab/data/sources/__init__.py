"""Where images come from: torchvision, folders, tables, arrays, Hugging Face, bundled digits."""

from resnet_lab.data.sources.arrays import ArraysFile
from resnet_lab.data.sources.digits import Digits
from resnet_lab.data.sources.huggingface import HuggingFaceSource
from resnet_lab.data.sources.image_folder import ImageFolder
from resnet_lab.data.sources.table import TableFile
from resnet_lab.data.sources.torchvision import TorchvisionSource

__all__ = [
    "ArraysFile",
    "Digits",
    "HuggingFaceSource",
    "ImageFolder",
    "TableFile",
    "TorchvisionSource",
]
