"""Hugging Face's Trainer on a small ViT made from its configuration: it knows nothing of bench."""

import sys
from dataclasses import dataclass, field
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from transformers import HfArgumentParser, Trainer, TrainingArguments, ViTConfig, ViTForImageClassification


@dataclass
class Own:
    smoothing: float = field(default=0.0)


def accuracy(found):
    return {"accuracy": (found.predictions.argmax(1) == found.label_ids).mean()}


if __name__ == "__main__":
    own, args = HfArgumentParser((Own, TrainingArguments)).parse_args_into_dataclasses(sys.argv[1:])
    torch.manual_seed(args.seed)
    images, labels = load_digits(return_X_y=True)
    images = torch.tensor(images, dtype=torch.float32).reshape(-1, 1, 8, 8) / 16
    rows = [{"pixel_values": i, "labels": int(c)} for i, c in zip(images, labels, strict=True)]
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    shape = {"image_size": 8, "patch_size": 2, "num_channels": 1, "num_labels": 10}
    args.label_smoothing_factor = own.smoothing
    model, data = ViTForImageClassification(ViTConfig(**small, **shape)), rows[:1347]
    trainer = Trainer(model, args, None, data, rows[1347:], compute_metrics=accuracy)
    trainer.train(resume_from_checkpoint=any(Path(args.output_dir).glob("checkpoint-*")))
    trainer.save_metrics("all", trainer.evaluate())
