"""A function that trains with scikit-learn: `trainer: train_sklearn:train` names it."""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier


def train(job):
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(job.derive("order")).permutation(1347)
    model = SGDClassifier(loss=job.loss.name, random_state=job.derive("sgd"), **job.recipe)
    model.fit(x[order], y[order])
    return {"labels": y[1347:], "predictions": model.predict(x[1347:])}
