"""What trains a network: the LightningModule, metrics, mixing, schedulers, pretrained weights."""
