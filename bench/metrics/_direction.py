"""Is less better? A guess from what people call their numbers."""

from __future__ import annotations

import re

_LOWER = """
    error errors err loss losses cost regret risk distance divergence kl entropy crossentropy deviance
    nll nlpd perplexity ppl bpc bpb rmse mse mae mape smape msle rmsle medae wape ece mce brier calibration
    fid kid lpips wer cer ter eer fpr fnr fdr frr hamming mistakes misses wrong misclassified
    misclassification failures time runtime latency duration delay seconds sec secs ms minutes hours memory
    flops energy aic bic
"""
_HIGHER = """
    accuracy accuracies acc top1 top5 f1 fscore auc auroc auprc ap precision recall sensitivity specificity
    tpr tnr score scores bleu rouge meteor chrf psnr ssim iou miou jaccard dice map ndcg mrr hits r2 kappa
    mcc correct correctly likelihood correlation spearman pearson reward return win wins success throughput
    speed fps
"""
_WORD = re.compile(r"[A-Z]+(?![a-z])\d*|[A-Z]?[a-z]+\d*|\d+")


def lower_is_better(name: str) -> bool | None:
    """Whether less is better of what is called so; None where the name does not say.

    A name is split at whatever is no letter or digit, and where small letters turn into capitals; what comes
    after *per* does not count. One word for which less is better decides (*top1_error*, *brier score*); *neg*
    and *negative*, as scikit-learn calls its scorers, turn it round.
    """
    words: list[str] = []
    for chunk in re.split(r"[^A-Za-z0-9]+", name):
        words += [chunk.lower(), *(word.lower() for word in _WORD.findall(chunk))]
    if "per" in words:
        words = words[: words.index("per")]
    higher = None
    if not set(_LOWER.split()).isdisjoint(words):
        higher = True
    elif not set(_HIGHER.split()).isdisjoint(words):
        higher = False
    negated = not {"neg", "negative"}.isdisjoint(words)
    return higher if higher is None else higher != negated
