"""`python -m sandbox.demo [--crash | --rivals]`: tell the story on the running desk; exit code 0 when all was right."""

import argparse
import sys

from sandbox.demo import accounts, admin, crash, market, rivals, story
from sandbox.demo.telling import Telling
from sandbox.desk.record import read_record
from sandbox.desk.surroundings import desk_home
from sandbox.people import Desk, UnexpectedAnswerError


def main() -> int:
    """Tell it, to the end or to the first answer that the story cannot go on from."""
    parser = argparse.ArgumentParser(
        prog="./megilance demo", description="Tell the product's story, each step checked."
    )
    parser.add_argument("--crash", action="store_true", help="kill the worker after its capture, and lose Redis")
    parser.add_argument("--rivals", action="store_true", help="approve from 24 connections at once")
    asked = parser.parse_args()
    record = read_record(desk_home())
    if record is None or not {"stripe", "mail"} <= record["urls"].keys():
        sys.exit("The demo needs a desk with its stand-ins: ./megilance up, without keys of real providers.")
    telling = Telling()
    try:
        tale = story.meet(Desk(record["urls"]), record, telling)
        accounts.protect(tale)
        accounts.forget(tale)
        story.hire(tale)
        story.fund(tale)
        story.release_first(tale)
        ending = crash if asked.crash else rivals if asked.rivals else story
        ending.release_second(tale)
        admin.look(tale, outcomes=["lost", "succeeded"] if asked.crash else ["succeeded"])
        story.prove(tale)
        milestone = market.hire_on_other_terms(tale)
        market.work_until_silence(tale, milestone)
        market.review(tale, milestone)
    except UnexpectedAnswerError as stopped:
        telling.fact("the story goes on", str(stopped), "the expected answer")
    return telling.end()


if __name__ == "__main__":
    sys.exit(main())
