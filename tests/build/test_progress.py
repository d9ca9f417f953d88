"""The output of buildx 0.38.2, as it was printed, says which target each line is about, and why targets failed."""

import pytest

from bakery.build.progress import TAIL_LINES, Progress, line_of_step

# A bake with `--jobs defer-error`: `y` fails in a step that `x` has as well, so that only `x` has it.
SEVERAL = """\
#0 building with "tests" instance using remote driver

#1 [internal] load local bake definitions
#1 reading from stdin 795B done
#1 DONE 0.0s

#2 [x-1 internal] load build definition from Cf.x
#2 transferring dockerfile: 144B done
#2 WARN: FromAsCasing: 'as' and 'FROM' keywords' casing do not match (line 1)
#2 DONE 0.0s

#3 [y-1 internal] load build context
#3 DONE 0.0s

#4 importing cache manifest from registry.example/cache:1
#4 ERROR: registry.example/cache:1: not found

#5 [w-1] importing cache manifest from registry.example/w/cache:1
#5 ERROR: not found

#7 [x-1 1/2] COPY root /
#7 CACHED

#8 [w-1 linux/arm64 stage-1 1/1] COPY content /c
#8 CACHED

#9 [w-1] exporting to image
#9 exporting manifest sha256:{a} 0.1s done
#9 ...

#10 [x-1 2/2] RUN make
#10 0.087 line 1
#10 0.089 ERROR: not buildx, but make
#10 ERROR: process "make" did not complete successfully: exit code: 3

#9 [w-1] exporting to image
#9 exporting manifest list sha256:{b} 0.0s done
#9 pushing manifest for registry.example/w/tmp 0.0s done
#9 DONE 0.3s

#12 [w-1] resolving provenance for metadata file
#12 DONE 0.0s

#14 [internal] target results
#14 w-1: succeeded done
#14 x-1: failed done
#14 y-1: failed done
#14 DONE 0.0s
------
 > [x-1 2/2] RUN make:
0.087 line 1
------
Cf.x:3
--------------------
   1 |     FROM scratch as x
   3 | >>> RUN make
--------------------
ERROR: target y-1: failed to solve: process "make" did not complete successfully: exit code: 3
""".format(a="a" * 64, b="b" * 64)

# A build of one target.
ONE = """\
#1 [internal] load build definition from Cf.x
#1 DONE 0.0s

#5 [2/2] RUN make
#5 0.134 err
#5 ERROR: process "make" did not complete successfully: exit code: 3
------
 > [2/2] RUN make:
0.134 err
------
WARNING: No output specified with remote driver. Build result will only remain in the build cache.
Cf.x:3
--------------------
   3 | >>> RUN make
--------------------
ERROR: failed to build: failed to solve: process "make" did not complete successfully: exit code: 3
"""

UNREACHABLE = """\
#0 building with "dead" instance using remote driver

#2 [internal] waiting for connection
#2 ERROR: context deadline exceeded
------
 > [internal] waiting for connection:
------
ERROR: context deadline exceeded
"""


def read(text, *uids, **calls):
    progress = Progress(uids, **calls)
    for number, line in enumerate(text.splitlines()):
        progress.feed(line, float(number))
    return progress


def test_steps_belong_to_the_target_that_their_name_starts_with():
    targets = read(SEVERAL, "w-1", "x-1", "y-1").targets
    assert [step.name for step in targets["x-1"].numbered] == ["[1/2] COPY root /", "[2/2] RUN make"]
    assert [step.cached for step in targets["x-1"].numbered] == [True, False]
    assert [step.name for step in targets["w-1"].numbered] == ["[linux/arm64 stage-1 1/1] COPY content /c"]
    assert targets["y-1"].numbered == []


def test_with_one_target_every_step_is_its_own():
    target = read(ONE, "x-1").targets["x-1"]
    assert [step.name for step in target.steps] == [
        "[internal] load build definition from Cf.x", "[2/2] RUN make",
    ]  # fmt: skip
    assert target.failed_step is target.steps[1]
    assert target.steps[1].tail[0] == "err"


@pytest.mark.parametrize(("text", "uid"), [(SEVERAL, "y-1"), (ONE, "x-1")], ids=["several", "one"])
def test_the_last_error_has_its_target_its_reason_and_its_place(text, uid):
    target = read(text, "w-1", "x-1", "y-1").targets[uid] if text is SEVERAL else read(text, uid).targets[uid]
    assert target.reason == 'process "make" did not complete successfully: exit code: 3'
    assert target.place == ("Cf.x", 3)


def test_results_are_read_and_output_of_a_step_is_not_mistaken_for_them():
    targets = read(SEVERAL, "w-1", "x-1", "y-1").targets
    assert {uid: one.result for uid, one in targets.items()} == {
        "w-1": "succeeded", "x-1": "failed", "y-1": "failed",
    }  # fmt: skip
    failed = targets["x-1"].failed_step
    assert failed is not None
    assert failed.error == 'process "make" did not complete successfully: exit code: 3'
    assert list(failed.tail)[:2] == ["line 1", "ERROR: not buildx, but make"]


def test_a_cache_that_is_missing_is_no_failed_step():
    assert read(SEVERAL, "w-1", "x-1", "y-1").targets["w-1"].failed_step is None


def test_the_digest_of_a_push_is_that_of_the_list_once_it_is_pushed():
    assert read(SEVERAL, "w-1", "x-1", "y-1").targets["w-1"].digest == f"sha256:{'b' * 64}"
    before_the_end = SEVERAL.partition("#9 DONE")[0]
    assert read(before_the_end, "w-1", "x-1", "y-1").targets["w-1"].digest == ""


def test_the_start_and_the_end_of_a_target_are_announced_once():
    started: list[str] = []
    ended: list[str] = []
    progress = read(SEVERAL, "w-1", "x-1", "y-1", on_start=started.append, on_end=ended.append)
    assert started == ["x-1", "y-1", "w-1"]
    assert ended == ["w-1"]
    assert 0 < progress.targets["w-1"].began < progress.targets["w-1"].ended


def test_a_failure_before_any_target_is_the_reason_of_all():
    progress = read(UNREACHABLE, "x-1", "y-1")
    assert progress.reason == "context deadline exceeded"
    assert all(not one.reason and not one.steps for one in progress.targets.values())


def test_only_the_last_lines_of_a_step_are_kept():
    lines = "\n".join(f"#1 0.1 line {number}" for number in range(100))
    target = read(f"#1 [1/1] RUN make\n{lines}", "x-1").targets["x-1"]
    assert list(target.tail) == [f"line {number}" for number in range(100 - TAIL_LINES, 100)]


def test_names_are_output_once_and_ends_are_not():
    first = "#1 [w-1 1/2] COPY a b\n#1 CACHED\n#2 [x-1 1/1] RUN make\n#2 0.1 a\n"
    progress = read(f"{first}#1 [w-1 1/2] COPY a b\n#1 ...\n#1 DONE 0.1s\n", "w-1", "x-1")
    assert list(progress.targets["w-1"].tail) == ["[1/2] COPY a b"]
    assert list(progress.targets["x-1"].tail) == ["[1/1] RUN make", "a"]
    one = read("#1 exporting to image\n#1 exporting layers\n#1 exporting to image\n", "x-1").targets["x-1"]
    assert list(one.tail) == ["exporting to image", "exporting layers"]


def test_a_target_ends_with_its_last_line():
    progress = read("#1 [w-1 1/1] RUN a\n#2 [x-1 1/1] RUN b\n#1 DONE 0.1s\n#2 0.1 b\n#3 [internal] c\n", "w-1", "x-1")
    assert {uid: (one.began, one.ended) for uid, one in progress.targets.items()} == {"w-1": (0, 2), "x-1": (1, 3)}


def test_a_step_of_no_target_that_fails_is_the_reason_of_all_and_one_of_a_target_is_not():
    assert read("#1 [internal] waiting for connection\n#1 ERROR: refused\n", "w-1", "x-1").reason == "refused"
    assert read("#1 [w-1 1/1] RUN make\n#1 ERROR: no\n", "w-1", "x-1").reason == ""


def test_an_error_without_steps_is_the_reason_of_all():
    assert read("ERROR: failed to connect to the docker API\n", "w-1", "x-1").reason.startswith("failed to connect")


EXCERPT = f"Cf.x:3\n{'-' * 20}\n   3 | >>> RUN make\n{'-' * 20}\n"


def test_a_place_is_above_an_excerpt_and_belongs_to_the_next_error_only():
    several = f"{EXCERPT}ERROR: target w-1: failed to solve: no\nERROR: target x-1: failed to solve: no\n"
    targets = read(several, "w-1", "x-1").targets
    assert (targets["w-1"].place, targets["x-1"].place) == (("Cf.x", 3), None)
    other = "see http://registry.example:5000\nERROR: target w-1: failed to solve: no\n"
    target = read(other, "w-1", "x-1").targets["w-1"]
    assert (target.reason, target.place) == ("no", None)


CONTAINERFILE = """\
# comment
FROM scratch AS base

RUN apt-get update && \\

    # a comment in the middle, after a line that is empty
    apt-get   install make
COPY a b
COPY a b
RUN make
"""


@pytest.mark.parametrize(
    ("step", "line"),
    [
        ("[2/5] RUN apt-get update && apt-get install make", 4),
        ("[linux/arm64 base 5/5] RUN make", 10),
        ("[3/5] COPY a b", 0),  # twice
        ("[internal] load build context", 0),
        ("", 0),
    ],
)
def test_a_step_is_found_in_the_containerfile_if_it_is_there_once(step, line):
    assert line_of_step(CONTAINERFILE, step) == line
