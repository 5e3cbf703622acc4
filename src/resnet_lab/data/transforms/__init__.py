"""Augmentation of whole batches, on the device that trains, each image with its own draw."""
