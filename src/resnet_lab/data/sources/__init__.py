"""Where images come from: torchvision, folders of pictures, bundled digits."""
