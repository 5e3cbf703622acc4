"""Export the trained network of a run, to use it without this package.

    python -m resnet_lab.export logs/runs/<run> --to onnx
    python -m resnet_lab.export logs/runs/<run> --to torch --to safetensors --card

Files go to the folder export/ of the run. Each is run on test images and kept only if it agrees
with PyTorch; of int8, which computes something else, the accuracy is told beside that of float32.
"""

from collections.abc import Sequence
from pathlib import Path

from resnet_lab.core.configuration.command_line import command_parser
from resnet_lab.core.console import running_command, say
from resnet_lab.core.files import folder_in, write
from resnet_lab.runs.trained.run import Run

KINDS = ("onnx", "int8", "torch", "safetensors")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    shared = ("run", "--calibrated", "--checkpoint", "--data-dir", "--trust")
    parser = command_parser("export", __doc__, *shared)
    parser.add_argument("--to", action="append", choices=KINDS, default=[], help="may be repeated")
    parser.add_argument("--card", action="store_true", help="write a model card, README.md")
    parser.add_argument(
        "--bare", action="store_true",
        help="from normalised images to logits (default: from uint8 images to probabilities)",
    )  # fmt: skip
    parser.add_argument("--out", help="directory for the files (default: export/ of the run)")
    options = parser.parse_args(arguments)
    with running_command():
        if not options.to and not options.card:
            raise ValueError(f"say what to write: --card or --to {', '.join(KINDS)}")
        if options.bare and options.calibrated:
            raise ValueError("--bare exports logits, which take no temperature: leave one out")
        run = Run.load(options.run, trust=options.trust)
        from resnet_lab.exporting.exporter import NAMES, Exporter
        from resnet_lab.runs.trained.inference import fitted_temperature

        checkpoint = options.checkpoint or run.config.test or "last"
        temperature = fitted_temperature(run, checkpoint) if options.calibrated else 1.0
        exporter = Exporter(
            run, checkpoint, options.data_dir,
            temperature=temperature, preprocessing=not options.bare,
        )  # fmt: skip
        out = Path(options.out) if options.out else folder_in(run.directory, "export")
        out.mkdir(parents=True, exist_ok=True)
        told = {}  # of a file: what the model card says of it
        for kind in dict.fromkeys(options.to):
            if kind == "int8":
                from resnet_lab.exporting.quantised import quantise

                told[NAMES[kind]] = str(quantise(exporter, out / NAMES[kind]))
                say(f"written: {out / NAMES[kind]} ({told[NAMES[kind]]})")
                continue
            made = exporter.export(kind, out / NAMES[kind])
            say(
                f"written: {made.path} (on {made.images:,} test images: differs from PyTorch by at "
                f"most {made.difference:.1g}, same class for {made.agreeing:,}, {made.right:,} "
                "right)"
            )
        if options.card:
            from resnet_lab.exporting.card import card

            write(out / "README.md", card(exporter, out, told))
            say(f"written: {out / 'README.md'}")


if __name__ == "__main__":
    main()
