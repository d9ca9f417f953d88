"""Examples for the keys of bakery.yaml, and where a key gets its value if it is not set. A test reads every example."""

from __future__ import annotations

from typing import Final

OPTIONS: Final = ("GossOptions", "SociOptions", "HadolintOptions", "WizcliOptions")
OF_OPTIONS: Final = "in a variant: from the image's entry of this tool"

_INNER: Final = ("VersionPart", "MatrixPart", "ChannelPart", "StreamPart", "NewestPart")  # parts of an image
_POLICY: Final = "in an image: from the project's `tagPolicy`"

INHERITED: Final = {
    ("ImagePart", "extraRegistries"): "the project's `registries` are added",
    ("ImagePart", "overrideRegistries"): "else `extraRegistries` and the project's `registries`",
    **{(part, "extraRegistries"): "the image's registries are added" for part in _INNER},
    **{(part, "overrideRegistries"): "else `extraRegistries` and the image's registries" for part in _INNER},
    ("VersionPart", "buildTarget"): "from the image",
    ("MatrixPart", "buildTarget"): "from the image",
    ("VariantPart", "options"): "field by field from the image",
    ("VariantPart", "tagPatterns"): "the image's are added",
    ("ImagePart", "tagPolicy"): "rule by rule from the project",
    **{("TagPolicyPart", key): _POLICY for key in ("latest", "major", "minor", "version", "other")},
}

EXAMPLES: Final = {
    "The file": """
repository: { url: "https://github.com/acme/images" }
registries: [{ host: ghcr.io, namespace: acme }]
images:
  - name: app
    versions:
      - name: 1.2.3
        latest: true
        os: [{ name: Debian 12, platforms: [linux/amd64, linux/arm64] }]
""",
    "RepositoryPart": """
repository:
  url: https://github.com/acme/images
  vendor: Acme
  maintainer: Image Team <images@acme.example>
""",
    "GlobalRegistryPart": """
registries:
  - { host: ghcr.io, namespace: acme }
  - { host: docker.io, namespace: acme }
""",
    "RegistryPart": """
images:
  - name: app
    extraRegistries:
      - { host: quay.io, namespace: acme, repository: application }
""",
    "ImagePart": """
images:
  - name: app
    displayName: The App
    documentationUrl: https://acme.example/app
    buildTarget: final
    versions: [{ name: 1.2.3 }]
""",
    "VersionPart": """
images:
  - name: app
    versions:
      - { name: 1.2.3, latest: true, values: { flavour: plain } }
      - { name: 1.1.9, subpath: "1.1" }
""",
    "SystemPart": """
images:
  - name: app
    versions:
      - name: 1.2.3
        os:
          - { name: Ubuntu 24.04, primary: true, platforms: [linux/amd64, linux/arm64] }
          - { name: Debian 12 }
""",
    "VariantPart": """
images:
  - name: app
    variants:
      - { name: Standard, primary: true }
      - { name: Minimal }
    versions: [{ name: 1.2.3 }]
""",
    "TagPatternPart": """
images:
  - name: app
    tagPatterns:
      - patterns: ["{{ Version }}"]
      - { patterns: [latest], only: [latest] }
    versions: [{ name: 1.2.3, latest: true }]
""",
    "SecretPart": """
images:
  - name: app
    buildSecrets: [{ id: token, envVar: APP_TOKEN }]
    versions: [{ name: 1.2.3 }]
""",
    "SociOptions": """
images:
  - name: app
    options: [{ tool: soci, enabled: true }]
    versions: [{ name: 1.2.3 }]
""",
    "GossOptions": """
images:
  - name: app
    options: [{ tool: goss, wait: 5 }]
    versions: [{ name: 1.2.3 }]
""",
    "TagPolicyPart": """
tagPolicy: { version: immutable, latest: no-downgrade }
""",
    "ChannelPart": """
images:
  - name: connect
    devVersions:
      - sourceType: channel
        product: connect
        channel: daily
        os: [{ name: Ubuntu 24.04 }]
""",
    "StreamPart": """
images:
  - name: connect
    devVersions: [{ sourceType: stream, product: connect, stream: daily }]
""",
    "NewestPart": """
images:
  - name: quarto
    devVersions:
      - { sourceType: dependency, dependency: quarto, prerelease: true, channel: preview }
""",
    "MatrixPart": """
images:
  - name: session
    matrix:
      namePattern: "R{{ Dependencies.R }}-python{{ Dependencies.python }}"
      dependencies: [{ dependency: R, version: "4.4.2, 4.5.1" }]
      dependencyConstraints: [{ dependency: python, constraint: { latest: true, count: 2 } }]
      os: [{ name: Ubuntu 24.04 }]
""",
    "PinnedPart": """
images:
  - name: app
    versions:
      - { name: 1.2.3, dependencies: [{ dependency: python, version: 3.13.1 }] }
""",
    "ConstrainedPart": """
images:
  - name: app
    dependencyConstraints: [{ dependency: R, constraint: { latest: true } }]
    devVersions: [{ sourceType: channel, product: workbench, channel: daily }]
""",
    "ConstraintPart": """
images:
  - name: session
    matrix:
      dependencyConstraints:
        - { dependency: python, constraint: { min: "3.11", max: "3.13" } }
        - { dependency: R, constraint: { latest: true, count: 3 } }
""",
    "HadolintOptions": """
images:
  - name: app
    options: [{ tool: hadolint, failureThreshold: warning, ignored: [] }]
    versions: [{ name: 1.2.3 }]
""",
    "HadolintOverride": """
images:
  - name: app
    options: [{ tool: hadolint, override: { error: [DL3007], info: [DL3059] } }]
    versions: [{ name: 1.2.3 }]
""",
    "WizcliOptions": """
images:
  - name: app
    options: [{ tool: wizcli, projects: [images], policies: [default] }]
    versions: [{ name: 1.2.3 }]
""",
}
