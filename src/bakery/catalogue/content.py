"""Errors of content: digests, references, manifests, layouts, layers and SOCI indexes."""

from __future__ import annotations

from typing import Final

from bakery.catalogue.entry import Entry

ENTRIES: Final = (
    Entry(
        "content/invalid",
        "Bytes or text are not what they claim to be",
        "Something that was read does not have the form that its kind requires. The same bytes will never be "
        "valid, so retrying does not help.",
        (
            "The file or response is damaged.",
            "A proxy responds in place of the registry.",
        ),
        ("Check the file, URL or reference that the message names.",),
        "error[content/invalid]: cannot read manifest registry.example/app:1: invalid HTTP response",
    ),
    Entry(
        "content/digest",
        "Text is not a digest",
        "A digest is an algorithm, a colon and lower-case hexadecimal digits of the right number. sha256 and "
        "sha512 are known.",
        (
            "The digest was cut or has spaces.",
            "A variable in a script is empty.",
        ),
        ("Write the whole digest, such as sha256: and 64 digits.",),
        "error[content/digest]: invalid digest 'sha256:9f86': expected 64 hexadecimal digits",
    ),
    Entry(
        "content/reference",
        "Text is not a reference",
        "A reference is a registry, a repository in lower case, and a tag or a digest.",
        (
            "The repository has capital letters or spaces.",
            "A variable in a script is empty.",
        ),
        ("Correct the part that the message names.",),
        "error[content/reference]: invalid reference 'ghcr.io/Acme/app': repositories are written in lower case",
    ),
    Entry(
        "content/document",
        "A manifest, index or descriptor cannot be used",
        "The JSON is damaged, is ambiguous, or lacks what its media type requires. The same bytes will never be "
        "valid, so retrying does not help.",
        (
            "The digest names something that is not an image.",
            "Another tool wrote an invalid manifest.",
        ),
        (
            "Check the image with `bakery imagetools inspect`.",
            "Build and push it again.",
        ),
        "error[content/document]: invalid manifest ghcr.io/acme/app@sha256:9f86…: layers must be a list",
    ),
    Entry(
        "content/mismatch",
        "Content does not match its digest",
        "The bytes that were read have another digest or size than their descriptor says. They are never used.",
        (
            "A proxy or cache alters or truncates responses.",
            "The registry's storage is damaged.",
        ),
        (
            "Run the command again without the proxy.",
            "Push the image again.",
        ),
        "error[content/mismatch]: cannot read blob registry.example/app@sha256:9f86…: it has 100 bytes, expected 120",
    ),
    Entry(
        "content/layout",
        "An OCI layout cannot be used",
        "The folder or tar is not an OCI image layout, is incomplete, or has several images.",
        (
            "The path names something else.",
            "The export was interrupted.",
            "The layout has several images, and none was named.",
        ),
        (
            "Export the image again with `--output type=oci`.",
            "Name one image of the layout, as the hint says.",
        ),
        "error[content/layout]: cannot read image.tar: it has 2 images\nhint: name one of: a, b",
    ),
    Entry(
        "soci/layer-damaged",
        "A layer is not valid gzip or tar",
        "A layer that is to be indexed is damaged. The same bytes will never be valid, so retrying does not help.",
        ("The layer was truncated when it was pushed.",),
        ("Build and push the image again.",),
        "error[soci/layer-damaged]: cannot index layer sha256:9f86…: the gzip stream ends early",
    ),
    Entry(
        "soci/layer-unsupported",
        "A layer cannot be indexed",
        "The layer has a form for which SOCI has no index, such as another compression than gzip.",
        ("The build compresses layers with zstd.",),
        ("Build with gzip layers (`compression=gzip`), or disable SOCI for this image.",),
        "error[soci/layer-unsupported]: cannot index layer sha256:9f86…: it is compressed with zstd",
    ),
    Entry(
        "soci/limit",
        "A layer exceeds a limit",
        "A layer is larger, or expands more, than the limits allow. They protect against layers that are made to "
        "use up memory.",
        (
            "The layer is unusually large or has very many files.",
            "The layer is malicious.",
        ),
        ("Raise the limit with `BAKERY_SOCI_LIMITS` if the image is trusted.",),
        "error[soci/limit]: cannot index layer sha256:9f86…: more than 1,000,000 entries",
    ),
    Entry(
        "soci/zlib",
        "The zlib that SOCI needs is missing",
        "SOCI indexes need functions of zlib that this installation does not have.",
        ("The package was installed without its binary dependency.",),
        ("Install Bakery again with its dependencies.",),
        "error[soci/zlib]: cannot convert to SOCI: zlib-ng cannot be loaded",
    ),
    Entry(
        "soci/wrong-index",
        "A SOCI index does not fit its layer",
        "Spans, offsets or files of the index differ from the layer. A container that is started lazily would "
        "read wrong bytes.",
        (
            "The index was made for another layer.",
            "The index was made by a tool with a bug.",
        ),
        ("Convert the image again with `bakery soci convert`.",),
        "error[soci/wrong-index]: wrong SOCI index of sha256:9f86…: span 3 has another digest",
    ),
    Entry(
        "soci/abandoned",
        "A conversion was given up",
        "The run ended while a layer was being indexed.",
        ("The run was interrupted, or another step of the target failed.",),
        ("Run the command again.",),
        "error[soci/abandoned]: cannot index layer sha256:9f86…: the run ended",
    ),
)
