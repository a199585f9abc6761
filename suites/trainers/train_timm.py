"""timm's factories for model, loss, optimizer and schedule, and the summary.csv of its own script.

Its train.py is not among what it publishes on PyPI; this is the same loop, of the same parts.
"""

import argparse
from pathlib import Path

import timm
import timm.loss
import torch
from sklearn.datasets import load_digits
from timm.optim import create_optimizer_v2
from timm.scheduler import create_scheduler_v2
from timm.utils import accuracy, random_seed, update_summary

parser = argparse.ArgumentParser()
given = {"model": "test_resnet", "loss": "BinaryCrossEntropy", "opt": "lamb", "output": "."}
for name, default in {**given, "lr": 0.01, "epochs": 5, "seed": 0}.items():
    parser.add_argument(f"--{name}", type=type(default), default=default)
args = parser.parse_args()
random_seed(args.seed)
x, y = load_digits(return_X_y=True)
x = torch.nn.functional.interpolate(torch.tensor(x).float().reshape(-1, 1, 8, 8) / 16, size=32)
y, summary = torch.tensor(y), Path(args.output, "summary.csv")
summary.unlink(missing_ok=True)  # it has no checkpoints, and begins again
model = timm.create_model(args.model, num_classes=10, in_chans=1)
loss, optimizer = getattr(timm.loss, args.loss)(), create_optimizer_v2(model, args.opt, lr=args.lr)
scheduler, _ = create_scheduler_v2(optimizer, "cosine", num_epochs=args.epochs)
for epoch in range(args.epochs):
    for batch in torch.randperm(1347).split(128):
        optimizer.zero_grad()
        value = loss(model.train()(x[batch]), y[batch])
        value.backward()
        optimizer.step()
    scheduler.step(epoch + 1)
    top1, top5 = accuracy(model.eval()(x[1347:]), y[1347:], topk=(1, 5))
    new = {"write_header": epoch == 0}
    update_summary(epoch, {"loss": value.item()}, {"top1": top1.item(), "top5": top5.item()}, summary, **new)
