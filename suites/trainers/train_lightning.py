"""A LightningModule and its Trainer: it knows nothing of bench."""

from argparse import ArgumentParser

import lightning
import torch
from lightning.pytorch import callbacks, loggers
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, Subset, TensorDataset


class Digits(lightning.LightningModule):
    def __init__(self, smoothing, lr):
        super().__init__()
        self.model, self.lr = torch.nn.Linear(64, 10), lr
        self.loss = torch.nn.CrossEntropyLoss(label_smoothing=smoothing)

    def training_step(self, batch):
        return self.loss(self.model(batch[0]), batch[1])

    def test_step(self, batch):
        self.log("test_acc", (self.model(batch[0]).argmax(1) == batch[1]).float().mean())

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), self.lr)


parser = ArgumentParser()
for name, default in {"smoothing": 0.0, "lr": 0.01, "epochs": 10, "seed": 0, "output": "."}.items():
    parser.add_argument(f"--{name}", type=type(default), default=default)
args = parser.parse_args()
lightning.seed_everything(args.seed)
x, y = (torch.tensor(part) for part in load_digits(return_X_y=True))
data, keep = TensorDataset(x.float() / 16, y), callbacks.ModelCheckpoint(args.output, save_last=True)
log = loggers.CSVLogger(args.output, name="", version="")
trainer = lightning.Trainer(max_epochs=args.epochs, accelerator="cpu", logger=log, callbacks=[keep])
module, batches = Digits(args.smoothing, args.lr), DataLoader(Subset(data, range(1347)), 128, shuffle=True)
trainer.fit(module, batches, ckpt_path="last")  # if it was stopped before
trainer.test(module, DataLoader(Subset(data, range(1347, 1797)), 450))
