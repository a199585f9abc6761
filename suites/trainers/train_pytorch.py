"""A plain loop in PyTorch, as anybody has one: it knows nothing of bench."""

import argparse
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits

parser = argparse.ArgumentParser()
for name, default in {"loss": "CrossEntropyLoss", "lr": 0.01, "epochs": 10, "seed": 0, "output": "."}.items():
    parser.add_argument(f"--{name}", type=type(default), default=default)
args = parser.parse_args()
torch.manual_seed(args.seed)
x, y = (torch.tensor(part) for part in load_digits(return_X_y=True))
x, (train, test) = x.float() / 16, (slice(1347), slice(1347, None))
model = torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10))
loss = getattr(torch.nn, args.loss)()
optimizer = torch.optim.Adam(model.parameters(), args.lr)
output, begin = Path(args.output), 0
state = output / "state.pt"
if state.exists():  # it was stopped before
    kept = torch.load(state)
    model.load_state_dict(kept["model"])
    optimizer.load_state_dict(kept["optimizer"])
    begin = kept["epoch"]
for epoch in range(begin, args.epochs):
    order = torch.randperm(1347, generator=torch.Generator().manual_seed(args.seed * 1000 + epoch))
    for batch in order.split(128):
        optimizer.zero_grad()
        value = loss(model(x[train][batch]), y[train][batch])
        value.backward()
        optimizer.step()
    print(f"epoch {epoch + 1} loss {value.item():.4f}")
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch + 1}, state)
p = model(x[test]).softmax(1).detach().numpy()
np.savez(output / "predictions.npz", labels=y[test].numpy(), probabilities=p)
