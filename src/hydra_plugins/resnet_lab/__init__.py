"""Hydra finds sweepers and launchers in this namespace; the work is done in `resnet_lab`.

Every start imports these modules: what is heavy is imported where it is used.
"""
