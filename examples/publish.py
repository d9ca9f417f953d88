"""Publish OCI layouts as one image, from Python: `python publish.py LAYOUT… REPOSITORY:TAG`."""

import sys

from bakery.app import OriginRequest, PublishOptions, PublishRequest, State, plan, publish
from bakery.errors import BakeryError, message
from bakery.events import Event, StepRetried


def show(event: Event) -> None:
    """Print the retries of a run."""
    if isinstance(event, StepRetried):
        print(f"retrying {event.target}: {event.reason}", file=sys.stderr)


def main(*words: str) -> int:
    """Publish, print what was published, and return the exit code of the command line."""
    *layouts, tag = words
    request = PublishRequest(tuple(f"oci-layout://{layout}" for layout in layouts))
    options = PublishOptions(time_budget=600)
    try:
        planned = plan(request, OriginRequest(tag=(tag,)))
        if planned is None:
            return 0
        outcome = publish(planned, options, emit=show)
    except BakeryError as error:
        print(message(error), file=sys.stderr)
        return error.exit_code
    for target in outcome.targets:
        for place in target.destinations:
            print(place.repository, target.digest, place.state)
            if place.state is State.FAILED and place.failure:
                print(message(place.failure.error), file=sys.stderr)
    return outcome.exit_code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
