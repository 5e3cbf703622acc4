"""Networks: plain `nn.Module`s, one file a family; they import torch alone."""
