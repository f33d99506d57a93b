"""A training of seconds, to see that export, training and prediction fit together. nnU-Net looks it up by its name."""

import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer


class nnUNetTrainer_toy(nnUNetTrainer):  # noqa: N801 -- nnU-Net's way of naming
    """Two epochs of ten steps, two batches of validation after each."""

    # nnU-Net asks a trainer for its arguments by these names
    def __init__(self, plans: dict, configuration: str, fold: int, dataset_json: dict, device=torch.device("cuda")):
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.num_epochs, self.num_iterations_per_epoch, self.num_val_iterations_per_epoch = 2, 10, 2
