"""Trainers that nnU-Net finds through its variable nnUNet_extTrainer. Nothing of this package imports them."""
