"""The tasks a model can be trained for. A new one is a file here and a line in TASKS."""

from cinema.training import classification, landmarks, pretraining, regression, segmentation
from cinema.training.task import Task

_ALL = (
    pretraining.TASK,
    segmentation.TASK,
    classification.TASK,
    regression.TASK,
    landmarks.HEATMAP,
    landmarks.COORDINATE,
)
TASKS = {task.name: task for task in _ALL}

__all__ = ["TASKS", "Task"]
