"""The consumer's door: settings -> clients -> ports -> faults -> run -> exit code; no logic."""

import os
import sys
from pathlib import Path

from sqs_worker import envfile, exits, logs, output, settings
from sqs_worker.exits import Exit


def main() -> int:
    """Run the consumer; what it may be told is all in the environment."""
    if sys.argv[1:]:
        print(settings.usage())
        return Exit.OK if sys.argv[1] in {"-h", "--help"} else Exit.SETTINGS
    exits.install()
    try:
        environ, source = envfile.merged(os.environ)
        chosen = settings.read(environ)
    except settings.BadSettings as error:
        print(error, file=sys.stderr)
        return Exit.SETTINGS
    os.environ.update(environ)  # for boto3, which reads its endpoint, profile and keys by itself
    logs.set_up(chosen.log_level, chosen.log_format)

    # The AWS SDK is slow to load; a bad setting need not wait for it.
    from sqs_worker import app  # noqa: PLC0415

    return app.run(chosen, source)


if __name__ == "__main__":
    output.outlive_readers()
    try:
        sys.exit(main())
    except ModuleNotFoundError as missing:
        requirements = Path(__file__).resolve().with_name("requirements.txt")
        sys.exit(
            f"consume.py: {missing.name} is not installed in {sys.executable}; install into a "
            f"virtual environment: pip install -r {requirements}"
        )
