"""Which claims of the papers hold here: small trainings and models that ship, judged by rules that were written before the runs.

    python benchmarks/claims.py --work FOLDER                      make every run that is missing, measure the models, write the result file
    python benchmarks/claims.py --work FOLDER --only skips-help    the runs of one claim
    python benchmarks/claims.py --work FOLDER --collect            make no run: write what the folder has, "not measured" for the rest

Trainings: RSIS, RIS, DIN and R2-IOS at 64 x 64 pixels, one or two minutes of one core each, three seeds; the records are in `paper_claims/trained.py` and, of DIN
and R2-IOS, `paper_claims/din.py` and `refined.py`, the rules in `paper_claims/rules.py`. Models: the plain leaf models on plants that no training has seen
(`paper_claims/shipped.py`). Finished runs stay in the work
folder and are not made again; a stopped command goes on where it was.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from measuring import make_parser, parse, save
from paper_claims import din, shipped
from paper_claims.models import NUM_IMAGES, Models, measure_models
from paper_claims.refined import R2IOS_CLAIMS
from paper_claims.runs import FULL, Size, carry_out, pending
from paper_claims.trained import CLAIMS, GUIDANCE_CLAIMS, Claim, conclude, variants_of

from seriatim.core.errors import ConfigError
from seriatim.core.provenance import Start

TRAINED = (*CLAIMS, *R2IOS_CLAIMS, *GUIDANCE_CLAIMS, *din.CLAIMS)


def chosen(names: Sequence[str] | None) -> tuple[list[Claim], list[str]]:
    """The claims of trainings and of models that are worked on, in the order named.

    Raises:
        ConfigError: for an unknown name.
    """
    known = [*(claim.name for claim in TRAINED), *shipped.CLAIMS]
    unknown = [name for name in names or () if name not in known]
    if unknown:
        raise ConfigError(f"--only {unknown[0]}: no such claim; known: {', '.join(known)}")
    wanted = known if names is None else names
    by_name = {claim.name: claim for claim in TRAINED}
    return [by_name[name] for name in wanted if name in by_name], [name for name in wanted if name in shipped.CLAIMS]


def make_runs(claims: Sequence[Claim], seeds: int, work: Path, size: Size = FULL) -> None:
    """Make the runs of the claims that are not there."""
    missing = pending(variants_of(claims), seeds, work, size)
    for number, (name, variant, seed) in enumerate(missing, start=1):
        started = time.monotonic()
        print(f"run {number} of {len(missing)}: {name}, seed {seed}", flush=True)
        carry_out(variant, seed, work, size, lambda text: print(text, flush=True))
        print(f"  done in {time.monotonic() - started:.0f} s", flush=True)


def conclusions(seeds: int, work: Path, models: Models, size: Size = FULL) -> dict[str, Any]:
    """All claims with what the work folder has of them."""
    return {
        "claims": {claim.name: conclude(claim, seeds, work, size) for claim in (*CLAIMS, *R2IOS_CLAIMS)}
        | shipped.conclude(work, models),
        "guidance": {claim.name: conclude(claim, seeds, work, size) for claim in GUIDANCE_CLAIMS},
        "din": {claim.name: conclude(claim, seeds, work, size) for claim in din.CLAIMS},
        "models": shipped.tables(work, models),
    }


def main(words: Sequence[str] | None = None, size: Size = FULL) -> None:
    parser = make_parser(__doc__)
    parser.add_argument(
        "--work", type=Path, required=True, metavar="DIR", help="folder of the runs and of what was measured"
    )
    parser.add_argument(
        "--only", nargs="+", metavar="CLAIM", help="work on these claims alone; all are in the result file"
    )
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="trainings of each variant (%(default)s)")
    parser.add_argument("--collect", action="store_true", help="make no run and measure no model")
    parser.add_argument(
        "--rsis", default="leaves-rsis-plain", metavar="MODEL", help="plain RSIS on leaves (%(default)s)"
    )
    parser.add_argument("--ris", default="leaves-ris-plain", metavar="MODEL", help="plain RIS on leaves (%(default)s)")
    parser.add_argument(
        "--images", type=int, default=NUM_IMAGES, metavar="N", help="plants for the models (%(default)s)"
    )
    options = parse(parser, words)
    started = Start()
    trained, of_models = chosen(options.only)
    work = options.work.resolve()
    models = Models(options.rsis, options.ris, options.images)
    if not options.collect:
        if of_models:
            measure_models(work, models)
        make_runs(trained, options.seeds, work, size)
    save("claims", conclusions(options.seeds, work, models, size), started, options.json)


if __name__ == "__main__":
    main()
