"""Train, evaluate and compare residual networks with PyTorch Lightning and Hydra."""

__version__ = "0.2.0"
