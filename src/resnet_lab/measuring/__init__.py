"""What `resnet_lab.benchmark` measures: each function one thing, on this machine, now."""
