"""Names that break what shows them, if anything does."""

from __future__ import annotations

NASTY = [
    "<script>alert('x')</script>",
    "quo\"te 's` ``",
    "a_b__c_ 100% & #1 $x$ ~t^2 {b} \\n\\textbf{x} [o] *s*",
    "=HYPERLINK(1)",
    "-2+3",
    "@SUM(A1)",
    "loss 😀👩‍🔬",
    "交叉熵损失函数",
    "אנטרופיה",
    "line\nbreak\ttab",
    "x" * 200,
    "| pipe \\| \\",
    "evil \x1b[31mred \u202egnp",
    "--- ,,, ''' ?` !` << >>",
    "Łódź é ñ ø Ą ế",
    "[optional] * star",
]
