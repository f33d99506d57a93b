"""The tasks a model can be trained for. A new one is a file here and a line in TASKS."""

from cinema.training import classification, landmarks, pretraining, regression, segmentation

_MODULES = (pretraining, segmentation, classification, regression)
TASKS = {task.name: task for task in (*(module.TASK for module in _MODULES), landmarks.HEATMAP, landmarks.COORDINATE)}
