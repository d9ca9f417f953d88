"""Errors of bakery.yaml, of build metadata, of the records of runs, and of what they select."""

from __future__ import annotations

from typing import Final

from bakery.catalogue.entry import Entry

ENTRIES: Final = (
    Entry(
        "project/invalid",
        "bakery.yaml, or a file that it needs, cannot be used",
        "The project was not loaded, and nothing was done. Every problem is listed with its line; the exit code is 3.",
        (
            "A key is misspelled, or a value has the wrong type.",
            "bakery.yaml is not in the folder that `--context` names.",
            "A file that belongs to the project cannot be read.",
        ),
        (
            "Correct the lines that the message shows.",
            "Run `bakery check` to see all problems at once.",
        ),
        "error[project/invalid]: cannot load bakery.yaml: 1 error\n"
        "bakery.yaml:1:20: error: images[0].versoins: unknown key `versoins` has no effect",
    ),
    Entry(
        "project/template",
        "A template of an image cannot be rendered",
        "A Jinja template refers to something that does not exist, or has a syntax error. No file was changed.",
        (
            "A value that the template uses is not set in bakery.yaml.",
            "The template has a syntax error.",
        ),
        ("Correct the line that the message names.",),
        "error[project/template]: cannot render template/Containerfile.jinja2: line 4: 'tiles' is undefined",
    ),
    Entry(
        "project/no-match",
        "A name or filter matches nothing in the project",
        "As written, the filter selects nothing, so the command would do nothing and look like success. The exit "
        "code is 1.",
        (
            "The name is misspelled.",
            "The image or version was removed from bakery.yaml.",
            "A filter is a regular expression, and a character in it has a special meaning.",
            "The version is a development version: those are only known with `--dev-versions include`.",
        ),
        (
            "Use the name that the hint gives.",
            "Run `bakery get targets` to list what the project has.",
            "Pass `--allow-empty` if nothing is expected.",
        ),
        "error[project/no-match]: no image matches --image-name wrkbench: expected one of: content, workbench\n"
        "hint: pass --image-name workbench, or --allow-empty if that is expected",
    ),
    Entry(
        "project/nothing-selected",
        "There is nothing to do",
        "The filters and files together leave no target, although each of them matches something. The exit code is 1.",
        (
            "The metadata files are of other targets, or a pattern matches no file.",
            "The filters exclude each other.",
        ),
        (
            "Check the reason after the colon.",
            "Pass `--allow-empty` if nothing is expected.",
        ),
        "error[project/nothing-selected]: nothing to publish: no file matches *-metadata.json\n"
        "hint: pass --allow-empty if that is expected",
    ),
    Entry(
        "metadata/invalid",
        "A build metadata file cannot be used",
        "A file that a build left is missing, is not JSON, or does not have the form that buildx writes. Nothing "
        "was published; the exit code is 3.",
        (
            "The build failed before it wrote the file, or wrote only a part of it.",
            "The path is wrong, or the artifact was not downloaded.",
        ),
        (
            "Check the file and the key that the message names.",
            "Run the build again, and upload the file that `docker buildx build --metadata-file` wrote.",
        ),
        "error[metadata/invalid]: cannot read build metadata app-amd64.json: no such file",
    ),
    Entry(
        "record/invalid",
        "A summary or journal of a run cannot be used",
        "The file that a command was to work on is missing, cannot be read, or is not what a run writes with "
        "`--summary-file` or `--journal`. Nothing was done; the exit code is 3.",
        (
            "The path is wrong, or the artifact was not downloaded.",
            "The file is of another kind: build metadata, a log, a summary in text.",
            "The summary is of an older tool, which did not record what tags named before.",
        ),
        (
            "Check the path.",
            "Pass the JSON summary or the journal of the run.",
        ),
        "error[record/invalid]: cannot read run.jsonl: it does not exist\nhint: check the path",
    ),
    Entry(
        "product/lookup",
        "A version cannot be looked up",
        "A development version or a constraint refers to a product API, and that did not give a usable response.",
        (
            "The API is unreachable or failed.",
            "`--offline` is set and the response is not cached.",
            "The API changed.",
        ),
        (
            "Run the command again later.",
            "Name the version with `--dev-spec`, so that no lookup is needed.",
        ),
        "error[product/lookup]: cannot download https://api.example.org/versions: status 503",
    ),
    Entry(
        "product/pin",
        "A pinned development version cannot be used",
        "`--dev-spec` names a version that the project or the product does not have in this channel.",
        (
            "The channel does not have the version.",
            "The JSON of `--dev-spec` names another channel.",
        ),
        ("Check version and channel in `--dev-spec`.",),
        "error[product/pin]: cannot use 2026.04.0-12: it is not a version of channel daily",
    ),
    Entry(
        "publish/source-missing",
        "A build does not appear in the temporary registry",
        "The metadata names a build by digest, and the registry does not have it even after a wait. No tag of the "
        "target was moved; other targets are not affected.",
        (
            "The push of the build failed or is not finished.",
            "A clean-up deleted it: builds have no tag, and some clean-ups delete what is untagged.",
            "The registry is slow to show new content.",
        ),
        (
            "Check that the build job pushed the digest.",
            "Run the build again if the content was deleted.",
            "Wait longer with `--wait-timeout` and `--time-budget`.",
        ),
        "error[publish/source-missing]: cannot find 1 of 2 builds: ghcr.io/acme/app/tmp@sha256:9f86…: still "
        "missing after 600 s",
    ),
    Entry(
        "publish/missing-platform",
        "A declared platform was not built",
        "bakery.yaml, or an option, declares a platform for which there is no build. The target is not published, "
        "since its users on that platform would lose the image.",
        (
            "The build job of that platform failed or was skipped.",
            "Its metadata file was not passed to the command.",
        ),
        (
            "Build the missing platform, and publish again.",
            "Pass `--allow-missing-platforms` to publish without it.",
            "Remove the platform from bakery.yaml if it is no longer wanted.",
        ),
        "error[publish/missing-platform]: cannot assemble the index: bakery.yaml declares linux/arm64, but there "
        "is no build for it",
    ),
    Entry(
        "publish/extra-platform",
        "A platform was built that is not declared",
        "The command publishes exactly the declared platforms, and a build has another one.",
        ("The build ran for more platforms than `--require-platform` names.",),
        (
            "Declare the platform.",
            "Pass `--allow-extra-platforms` to publish it.",
        ),
        "error[publish/extra-platform]: cannot assemble the index: there is a build for linux/386, which "
        "--require-platform does not declare",
    ),
    Entry(
        "publish/duplicate-platform",
        "Two builds have one platform",
        "An index has one image for each platform, and two different images were given.",
        (
            "A platform was built twice.",
            "Metadata or digests of an earlier run are still in the folder.",
        ),
        (
            "Leave one of the two out.",
            "Choose with `--on-duplicate`.",
        ),
        "error[publish/duplicate-platform]: cannot assemble the index: two sources have an image for linux/amd64",
    ),
    Entry(
        "publish/set-failed",
        "No tag of the set moved, because a part of it failed",
        "With `--all-or-nothing`, the tags of a target, an image or the run move together or not at all. Another "
        "destination failed, so this one, which is fine, keeps what its tags named before.",
        ("The failure that is reported next to this one.",),
        ("Resolve that failure, then run the same command again: what was uploaded is not uploaded again.",),
        "error[publish/set-failed]: no tag of the target app moved: app at ghcr.io/acme/app failed (1 other "
        "destination)",
    ),
    Entry(
        "publish/drift",
        "What is published is not what it must be",
        "`bakery verify` found a tag that does not exist or names something else, content that is missing, a platform, "
        "signature or attestation that is gone, or registries that differ.",
        (
            "A tag was moved by hand or by another run.",
            "A clean-up of the registry deleted what an image needs.",
            "A registry was restored from a backup.",
        ),
        (
            "Publish again: what is missing is put back, and tags name the image again.",
            "Run `bakery verify` with the newer summary if the tag was moved on purpose.",
        ),
        "error[publish/drift]: ghcr.io/acme/app:1.2.3: content is missing: sha256:9f86…",
    ),
    Entry(
        "publish/tag-policy",
        "The tag policy does not let a tag move",
        "A rule says that the tag keeps what it names: the image was not created later (`if-newer`), or the tag never "
        "changes its digest (`immutable`).",
        (
            "An older run finished last.",
            "A version was built again, and its tag is immutable.",
        ),
        (
            "Do nothing if the tag is right as it is.",
            "Publish under another version.",
            "Change `tagPolicy` in bakery.yaml, or leave out `--if-newer` or `--immutable`.",
        ),
        "error[publish/tag-policy]: app: [stage] ghcr.io/acme/app: a tag may not move: 1.2.3 is immutable and names "
        "sha256:4c17…, not sha256:9651…",
    ),
    Entry(
        "publish/vetoed",
        "The command of --before-commit wants no tag to move",
        "Everything is uploaded by digest, and the command that `--before-commit` names exited with a code other than "
        "0, or could not be run. No tag of the run moved.",
        (
            "The command found something that must not be published: its last line is shown.",
            "The command does not exist, or the time budget ended before it did.",
        ),
        (
            "Read what the command printed.",
            "Run the same publish again when it is resolved: what was uploaded is not uploaded again.",
        ),
        "error[publish/vetoed]: no tag moves because of --before-commit ./check.sh: it exited with 1: app: scan failed",
    ),
    Entry(
        "publish/tag-clash",
        "Two targets claim one tag",
        "The same tag would name two images, and the one that is pushed last would win. Neither target is published.",
        (
            "Two versions or variants render the same tag.",
            "A tag pattern lacks the part that differs.",
        ),
        (
            "Give each target tags of its own.",
            "Run `bakery check --strict` to find such tags before a build.",
        ),
        "error[publish/tag-clash]: cannot publish tag ghcr.io/acme/app:1.0: app-1-0-0 and app-1-0-1 both claim it",
    ),
)
