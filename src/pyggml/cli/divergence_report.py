"""What `pyggml perplexity --kl-divergence` prints, in llama-perplexity's layout."""

import numpy as np

from pyggml.evaluate.divergence import Comparison, Measured, Statistics, median, percentile
from pyggml.evaluate.log_probabilities import Floats

_DIVERGENCE_QUANTILES = (0.999, 0.99, 0.95, 0.9, None, 0.1, 0.05, 0.01, 0.001)
_DIFFERENCE_QUANTILES = (0.999, 0.99, 0.95, 0.9, 0.75, None, 0.25, 0.1, 0.05, 0.01, 0.001)


def running_head() -> str:
    """The head of the table of chunks."""
    return (
        "chunk             PPL               ln(PPL(Q)/PPL(base))          KL Divergence              Δp RMS"
        "            Same top p"
    )


def running_line(statistics: Statistics) -> str:
    """What the chunks so far come to."""
    fields = [
        f"{statistics.n_chunks:4d}",
        _pair(statistics.log_perplexity.exponential(), "9.4f"),
        _pair(statistics.log_ratio, "10.5f"),
        _pair(statistics.divergence, "10.5f"),
        _percent(statistics.probability_rms, "6.3f", "6.3f"),
        _percent(statistics.same_top, "6.3f", "6.3f"),
    ]
    return "    ".join(fields)


def final_report(statistics: Statistics, tokens: Comparison) -> str:
    """Means, errors and quantiles of all tokens."""
    return "\n".join(
        [
            "====== Perplexity statistics ======",
            f"Mean PPL(Q)                   : {_pair(statistics.log_perplexity.exponential(), '10.6f')}",
            f"Mean PPL(base)                : {_pair(statistics.base_log_perplexity.exponential(), '10.6f')}",
            f"Cor(ln(PPL(Q)), ln(PPL(base))): {100 * statistics.correlation:6.2f}%",
            f"Mean ln(PPL(Q)/PPL(base))     : {_pair(statistics.log_ratio, '10.6f')}",
            f"Mean PPL(Q)/PPL(base)         : {_pair(statistics.log_ratio.exponential(), '10.6f')}",
            f"Mean PPL(Q)-PPL(base)         : {_pair(statistics.difference, '10.6f')}",
            "",
            "====== KL divergence statistics ======",
            f"Mean    KLD: {_pair(statistics.divergence, '10.6f')}",
            *_divergence_lines(np.sort(tokens.divergence.astype(np.float32), axis=None)),
            "",
            "====== Token probability statistics ======",
            f"Mean    Δp: {_percent(statistics.probability_difference, '6.3f', '5.3f')}",
            *_difference_lines(np.sort(tokens.difference, axis=None)),
            f"RMS Δp    : {_percent(statistics.probability_rms, '6.3f', '5.3f')}",
            f"Same top p: {_percent(statistics.same_top, '6.3f', '5.3f')}",
        ]
    )


def _divergence_lines(ordered: Floats) -> list[str]:
    values = [ordered[-1], *(_quantile(ordered, fraction) for fraction in _DIVERGENCE_QUANTILES), ordered[0]]
    names = ["Maximum", *map(_quantile_name, _DIVERGENCE_QUANTILES), "Minimum"]
    return [f"{name} KLD: {value:10.6f}" for name, value in zip(names, values, strict=True)]


def _difference_lines(ordered: Floats) -> list[str]:
    values = [ordered[-1], *(_quantile(ordered, fraction) for fraction in _DIFFERENCE_QUANTILES), ordered[0]]
    names = ["Maximum", *map(_quantile_name, _DIFFERENCE_QUANTILES), "Minimum"]
    return [f"{name} Δp: {100 * float(value):6.3f}%" for name, value in zip(names, values, strict=True)]


def _quantile(ordered: Floats, fraction: float | None) -> float:
    """The median for None."""
    return median(ordered) if fraction is None else percentile(ordered, fraction)


def _quantile_name(fraction: float | None) -> str:
    return "Median " if fraction is None else f"{100 * fraction:4.1f}%  "


def _pair(measured: Measured, form: str) -> str:
    return f"{measured.value:{form}} ± {measured.error:{form}}"


def _percent(measured: Measured, value_form: str, error_form: str) -> str:
    return f"{100 * measured.value:{value_form}} ± {100 * measured.error:{error_form}} %"
