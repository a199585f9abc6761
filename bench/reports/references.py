"""What a methods paragraph cites. Text holds citations as ``[@key]``; here they become BibTeX and words."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

_BIB = r"""
@inproceedings{agarwal2021, author = {Agarwal, Rishabh and Schwarzer, Max and Castro, Pablo Samuel and
  Courville, Aaron and Bellemare, Marc G.},
  title = {Deep reinforcement learning at the edge of the statistical precipice},
  booktitle = {Advances in Neural Information Processing Systems}, volume = {34}, pages = {29304--29320},
  year = {2021},}
@article{arvesen1969, author = {Arvesen, James N.}, title = {Jackknifing {U}-statistics},
  journal = {The Annals of Mathematical Statistics}, volume = {40}, number = {6}, pages = {2076--2100},
  year = {1969},}
@article{benavoli2017, author = {Benavoli, Alessio and Corani, Giorgio and Dem{\v{s}}ar, Janez and Zaffalon,
  Marco}, title = {Time for a change: A tutorial for comparing multiple classifiers through {Bayesian}
    analysis},
  journal = {Journal of Machine Learning Research}, volume = {18}, number = {77}, pages = {1--36},
  year = {2017},}
@article{bergstra2012, author = {Bergstra, James and Bengio, Yoshua},
  title = {Random search for hyper-parameter optimization},
  journal = {Journal of Machine Learning Research}, volume = {13}, pages = {281--305}, year = {2012},}
@inproceedings{bouthillier2021, author = {Bouthillier, Xavier and Delaunay, Pierre and Bronzi, Mirko and
  Trofimov, Assya and Nichyporuk, Brennan and Szeto, Justin and others},
  title = {Accounting for variance in machine learning benchmarks},
  booktitle = {Proceedings of Machine Learning and Systems}, volume = {3}, pages = {747--769},
  year = {2021},}
@article{brier1950, author = {Brier, Glenn W.},
  title = {Verification of forecasts expressed in terms of probability}, journal = {Monthly Weather Review},
  volume = {78}, number = {1}, pages = {1--3}, year = {1950},}
@article{clopper1934, author = {Clopper, C. J. and Pearson, E. S.},
  title = {The use of confidence or fiducial limits illustrated in the case of the binomial},
  journal = {Biometrika}, volume = {26}, number = {4}, pages = {404--413}, year = {1934},
  doi = {10.1093/biomet/26.4.404},}
@article{demsar2006, author = {Dem{\v{s}}ar, Janez},
  title = {Statistical comparisons of classifiers over multiple data sets},
  journal = {Journal of Machine Learning Research}, volume = {7}, pages = {1--30}, year = {2006},}
@article{dorfman1992, author = {Dorfman, Donald D. and Berbaum, Kevin S. and Metz, Charles E.},
  title = {Receiver operating characteristic rating analysis: Generalization to the population of readers and
    patients with the jackknife method}, journal = {Investigative Radiology}, volume = {27}, number = {9},
  pages = {723--731}, year = {1992},}
@book{fisher1935, author = {Fisher, Ronald A.}, title = {The Design of Experiments},
  publisher = {Oliver and Boyd}, address = {Edinburgh}, year = {1935},}
@inproceedings{guo2017, author = {Guo, Chuan and Pleiss, Geoff and Sun, Yu and Weinberger, Kilian Q.},
  title = {On calibration of modern neural networks},
  booktitle = {Proceedings of the 34th International Conference on Machine Learning}, pages = {1321--1330},
  year = {2017},}
@article{hampel1974, author = {Hampel, Frank R.},
  title = {The influence curve and its role in robust estimation},
  journal = {Journal of the American Statistical Association}, volume = {69}, number = {346},
  pages = {383--393}, year = {1974},}
@article{hanley1982, author = {Hanley, James A. and McNeil, Barbara J.},
  title = {The meaning and use of the area under a receiver operating characteristic ({ROC}) curve},
  journal = {Radiology}, volume = {143}, number = {1}, pages = {29--36}, year = {1982},}
@article{hedges1981, author = {Hedges, Larry V.},
  title = {Distribution theory for {Glass's} estimator of effect size and related estimators},
  journal = {Journal of Educational Statistics}, volume = {6}, number = {2}, pages = {107--128},
  year = {1981}, doi = {10.3102/10769986006002107},}
@article{hendriksen2021, author = {Hendriksen, Allard and de Heide, Rianne and Gr{\"u}nwald, Peter},
  title = {Optional stopping with {Bayes} factors: A categorization and extension of folklore results, with
    an application to invariant situations}, journal = {Bayesian Analysis}, volume = {16}, number = {3},
  pages = {961--989}, year = {2021},}
@article{hillis2007, author = {Hillis, Stephen L.},
  title = {A comparison of denominator degrees of freedom methods for multiple observer {ROC} analysis},
  journal = {Statistics in Medicine}, volume = {26}, number = {3}, pages = {596--619}, year = {2007},
  doi = {10.1002/sim.2532},}
@article{holm1979, author = {Holm, Sture}, title = {A simple sequentially rejective multiple test procedure},
  journal = {Scandinavian Journal of Statistics}, volume = {6}, number = {2}, pages = {65--70},
  year = {1979},}
@article{kim1987, author = {Kim, Kyungmann and DeMets, David L.},
  title = {Design and analysis of group sequential tests based on the type {I} error spending rate function},
  journal = {Biometrika}, volume = {74}, number = {1}, pages = {149--154}, year = {1987},}
@article{lachin1999, author = {Lachin, John M.},
  title = {Worst-rank score analysis with informatively missing observations in clinical trials},
  journal = {Controlled Clinical Trials}, volume = {20}, number = {5}, pages = {408--422}, year = {1999},}
@article{lan1982, author = {Lan, K. K. Gordon and Simon, Richard and Halperin, Max},
  title = {Stochastically curtailed tests in long-term clinical trials}, journal = {Sequential Analysis},
  volume = {1}, number = {3}, pages = {207--219}, year = {1982},}
@article{lan1983, author = {Lan, K. K. Gordon and DeMets, David L.},
  title = {Discrete sequential boundaries for clinical trials}, journal = {Biometrika}, volume = {70},
  number = {3}, pages = {659--663}, year = {1983},}
@article{langsrud2005, author = {Langsrud, {\O}yvind}, title = {Rotation tests},
  journal = {Statistics and Computing}, volume = {15}, number = {1}, pages = {53--60}, year = {2005},}
@article{nadeau2003, author = {Nadeau, Claude and Bengio, Yoshua},
  title = {Inference for the generalization error}, journal = {Machine Learning}, volume = {52},
  number = {3}, pages = {239--281}, year = {2003}, doi = {10.1023/A:1024068626366},}
@article{obuchowski1995, author = {Obuchowski, Nancy A. and Rockette, Howard E.},
  title = {Hypothesis testing of diagnostic accuracy for multiple readers and multiple tests: An {ANOVA}
    approach with dependent observations},
  journal = {Communications in Statistics -- Simulation and Computation}, volume = {24}, number = {2},
  pages = {285--308}, year = {1995}, doi = {10.1080/03610919508813243},}
@article{pagano1983, author = {Pagano, Marcello and Tritchler, David},
  title = {On obtaining permutation distributions in polynomial time},
  journal = {Journal of the American Statistical Association}, volume = {78}, number = {382},
  pages = {435--440}, year = {1983}, doi = {10.2307/2288653},}
@inproceedings{paszke2019, author = {Paszke, Adam and Gross, Sam and Massa, Francisco and Lerer, Adam and
  Bradbury, James and Chanan, Gregory and Killeen, Trevor and Lin, Zeming and Gimelshein, Natalia and Antiga,
  Luca and Desmaison, Alban and K{\"o}pf, Andreas and Yang, Edward and DeVito, Zachary and Raison, Martin and
  Tejani, Alykhan and Chilamkurthy, Sasank and Steiner, Benoit and Fang, Lu and Bai, Junjie and Chintala,
  Soumith}, title = {{PyTorch}: An imperative style, high-performance deep learning library},
  booktitle = {Advances in Neural Information Processing Systems}, volume = {32}, pages = {8024--8035},
  year = {2019},}
@article{schuirmann1987, author = {Schuirmann, Donald J.}, title = {A comparison of the two one-sided tests
  procedure and the power approach for assessing the equivalence of average bioavailability},
  journal = {Journal of Pharmacokinetics and Biopharmaceutics}, volume = {15}, number = {6},
  pages = {657--680}, year = {1987}, doi = {10.1007/BF01068419},}
@article{solari2014, author = {Solari, Aldo and Finos, Livio and Goeman, Jelle J.},
  title = {Rotation-based multiple testing in the multivariate linear model}, journal = {Biometrics},
  volume = {70}, number = {4}, pages = {954--961}, year = {2014},}
@article{spiegelhalter1986, author = {Spiegelhalter, David J. and Freedman, Laurence S. and
  Blackburn, Patrick R.}, title = {Monitoring clinical trials: Conditional or predictive power?},
  journal = {Controlled Clinical Trials}, volume = {7}, number = {1}, pages = {8--17}, year = {1986},}
@article{student1908, author = {{Student}}, title = {The probable error of a mean}, journal = {Biometrika},
  volume = {6}, number = {1}, pages = {1--25}, year = {1908}, doi = {10.1093/biomet/6.1.1},}
@misc{submitit, author = {{Facebook AI Research}},
  title = {submitit: Python toolbox for submitting jobs to {Slurm}},
  howpublished = {https://github.com/facebookincubator/submitit}, year = {n.d.},}
@inproceedings{tang2020, author = {Tang, Raphael and Lee, Jaejun and Xin, Ji and Liu, Xinyu and Yu, Yaoliang
    and Lin, Jimmy}, title = {Showing your work doesn't always work},
  booktitle = {Proceedings of the 58th Annual Meeting of the Association for Computational Linguistics},
  pages = {2766--2772}, year = {2020},}
@book{ville1939, author = {Ville, Jean}, title = {{\'E}tude critique de la notion de collectif},
  publisher = {Gauthier-Villars}, address = {Paris}, year = {1939},}
@misc{wang2023, author = {Wang, Hongjian and Ramdas, Aaditya},
  title = {Anytime-valid t-tests and confidence sequences for {Gaussian} means with unknown variance},
  howpublished = {arXiv:2310.03722}, year = {2023},}
@book{westfall1993, author = {Westfall, Peter H. and Young, S. Stanley},
  title = {Resampling-Based Multiple Testing: Examples and Methods for p-Value Adjustment},
  publisher = {Wiley}, address = {New York}, year = {1993},}
@inproceedings{yoo2003, author = {Yoo, Andy B. and Jette, Morris A. and Grondona, Mark},
  title = {{SLURM}: Simple {Linux} utility for resource management},
  booktitle = {Job Scheduling Strategies for Parallel Processing},
  series = {Lecture Notes in Computer Science}, volume = {2862}, pages = {44--60}, publisher = {Springer},
  year = {2003}, doi = {10.1007/10968980_3},}
"""
_ENTRIES = {key: entry for entry, key in re.findall(r"^(@\w+\{(\w+),.*?\},\})$", _BIB, re.M | re.S)}
_FIELDS = {
    key: {
        name: " ".join(value.split()) for name, value in re.findall(r"(\w+) = \{(.*?)\},[\s}]", entry, re.S)
    }
    for key, entry in _ENTRIES.items()
}
_CITATION = re.compile(rf"\[@(?:{'|'.join(_FIELDS)})(?:; @(?:{'|'.join(_FIELDS)}))*\]")


def cited(text: str) -> list[str]:
    """The keys that a text cites, each once, in the order of the alphabet."""
    return sorted({key for citation in _CITATION.findall(text) for key in _keys(citation)})


def render(text: str, cite: Callable[[list[str]], str], words: Callable[[str], str]) -> str:
    """A text with ``cite`` of the keys where there is a citation, and ``words`` of everything between."""
    parts = []
    for part in re.split(f"({_CITATION.pattern})", text):
        if _CITATION.fullmatch(part):
            parts.append(cite(_keys(part)))
        else:  # ``words`` may drop spaces at the ends
            before, inner, after = re.fullmatch(r"(\s*)(.*?)(\s*)", part, re.S).groups()  # type: ignore[union-attr]
            parts += [before, words(inner), after]
    return "".join(parts)


def bibtex(keys: Iterable[str]) -> str:
    """The entries of these keys, as a ``.bib`` file."""
    return "\n\n".join(_ENTRIES[key] for key in keys) + "\n"


def in_words(key: str) -> str:
    """Short, as within a sentence: ``Westfall and Young 1993``."""
    fields = _FIELDS[key]
    names = [_plain(name.partition(",")[0]) for name in fields["author"].split(" and ")]
    if fields["author"].startswith("{"):
        names = [_plain(fields["author"])]
    who = names[0] + (" et al." if len(names) > 3 else "")
    if 1 < len(names) <= 3:
        who = f"{', '.join(names[:-1])} and {names[-1]}"
    return f"{who} {fields['year']}"


def in_full(key: str) -> str:
    """One line of a list of references, as plain text."""
    fields = {name: _plain(value) for name, value in _FIELDS[key].items()}
    authors = fields["author"].split(" and ")
    who = "; ".join(authors if len(authors) <= 3 else [authors[0], "et al."])
    where = [fields[name] for name in ("journal", "booktitle", "series", "publisher") if name in fields]
    if "volume" in fields:
        where[0] += f" {fields['volume']}" + (f"({fields['number']})" if "number" in fields else "")
    if "pages" in fields:
        where[0] += f": {fields['pages']}"
    link = f"https://doi.org/{fields['doi']}" if "doi" in fields else fields.get("howpublished", "")
    return (
        f"{who} ({fields['year']}). {fields['title']}. {', '.join(where)}{'.' * bool(where)} {link}".rstrip()
    )


def _keys(citation: str) -> list[str]:
    return citation.strip("[]@").split("; @")


def _plain(value: str) -> str:
    typeset = {"{\\O}": "Ø", '{\\"o}': "ö", '{\\"u}': "ü", "{\\'E}": "É", "{\\v{s}}": "š", "--": "–"}
    for code, letter in typeset.items():
        value = value.replace(code, letter)
    return re.sub(r"[{}]", "", value)
