"""Where images come from: torchvision, folders of pictures, bundled digits."""

from resnet_lab.data.sources.digits import Digits
from resnet_lab.data.sources.image_folder import ImageFolder
from resnet_lab.data.sources.torchvision import TorchvisionSource

__all__ = ["Digits", "ImageFolder", "TorchvisionSource"]
