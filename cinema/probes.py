"""What frozen features know: linear probes, in which no patient is predicted by a probe that was fitted with them."""

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.model_selection import GridSearchCV, KFold, StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

PENALTIES = np.logspace(-1, 5, 13)
N_FOLDS = 5


def study_features(model, dataset):
    """What the encoder of a CineMA or ConvViT makes of each study: (studies, d) array.

    dataset: one item a study, image view -> (frames, x, y[, z]), as loaders.StudyFrames with frames="ed_es".
    Every frame goes through the encoder unmasked and by itself. Kept are the class token and, per view, mean and
    standard deviation over tokens; frames are put side by side.
    """
    was_training = model.training
    model.eval()
    rows = []
    with torch.inference_mode():
        for index in range(len(dataset)):
            frames = {view: image[:, None] for view, image in dataset[index]["image"].items()}
            cls, *views = model.feature_forward(frames).values()
            parts = [cls[:, 0]] + [pooled for x in views for pooled in (x.mean(dim=1), x.std(dim=1))]
            rows.append(torch.cat(parts, dim=1).flatten())
    model.train(was_training)
    return torch.stack(rows).numpy()


def ridge():
    """Ridge regression on standardised features, the penalty chosen from PENALTIES by leave-one-out error."""
    return make_pipeline(StandardScaler(), RidgeCV(PENALTIES))


def predicted_number(features, values, seed=0):
    """Each patient's number by ridge regression on the others: (n,) array.

    N_FOLDS folds of patients; the penalty is chosen within the other folds (`ridge`).
    Two values (a class as 0 and 1) are dealt to the folds in equal shares: patients of a fold with many cases would
    else be scored by a probe that saw few, which draws the AUC of pure noise below 0.5 (to 0.42 with 80 patients).
    """
    folds = StratifiedKFold if len(np.unique(values)) == 2 else KFold
    return cross_val_predict(ridge(), features, values, cv=folds(N_FOLDS, shuffle=True, random_state=seed))


def predicted_class(features, classes, seed=0):
    """Each patient's class by multinomial logistic regression on the others: (n,) array.

    As `predicted_number`, with folds of equal class shares; the penalty is chosen by accuracy in inner folds.
    """
    logistic = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    inner, outer = (StratifiedKFold(k, shuffle=True, random_state=seed) for k in (3, N_FOLDS))
    probe = GridSearchCV(logistic, {"logisticregression__C": 1 / PENALTIES[::2]}, cv=inner)
    return cross_val_predict(probe, features, classes, cv=outer)
