"""Errors of `bakery build`."""

from __future__ import annotations

from typing import Final

from bakery.catalogue.entry import Entry

ENTRIES: Final = (
    Entry(
        "build/failed",
        "A target was not built",
        "buildx could not build a target. The other targets were built all the same, and the metadata file has them. "
        "The last lines of the output of the target are above the message.",
        (
            "A step of the Containerfile failed; the message ends with its place.",
            "A base image cannot be pulled, or a file that is copied does not exist.",
            "The registry refused the push.",
        ),
        (
            "Read the output above the message.",
            "Build only this target with `--image-name` and `--image-version`.",
            "Pass `--retry 1` if it is a failure that passes.",
        ),
        'error[build/failed]: app-1-0-0: process "/bin/sh -c make" did not complete successfully: exit code: 2 '
        "(app/1.0.0/Containerfile.ubuntu2404:7)",
    ),
    Entry(
        "build/builder",
        "The builder cannot be used",
        "buildx has no builder of this name, or the builder does not run or cannot push by digest. Nothing was built.",
        (
            "`--builder` or `BUILDX_BUILDER` names a builder that was not created on this machine.",
            "The Docker daemon or the BuildKit of the builder does not run, or is not reachable from here.",
            "The builder is the one inside Docker (driver `docker`), and builds are pushed by digest.",
        ),
        (
            "Run `docker buildx ls` to list the builders, and `docker buildx create` to create one.",
            "Start Docker, or the BuildKit that the builder names.",
        ),
        'error[build/builder]: cannot reach the builder ci: no builder "ci" found',
    ),
    Entry(
        "build/containerfile",
        "A Containerfile is missing",
        "A target has no Containerfile in the folder of its version. Nothing was built.",
        (
            "The version was added to bakery.yaml, and its files were not.",
            "The name of the file lacks the ending of the operating system or the variant.",
        ),
        (
            "Create the files that the message names.",
            "Run `bakery check` to list them with their lines of bakery.yaml.",
        ),
        "error[build/containerfile]: cannot find 1 Containerfile in .: app/1.0.0/Containerfile.ubuntu2404 "
        "(for app-1-0-0)",
    ),
)
