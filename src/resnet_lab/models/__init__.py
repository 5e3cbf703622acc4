"""Networks: plain `nn.Module`s that know nothing of Lightning, Hydra or data; a file per family."""
