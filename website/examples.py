"""Examples for the keys of bakery.yaml, and where a key gets its value if it is not set. A test reads every example."""

from __future__ import annotations

from typing import Final

REGISTRIES: Final = "image, then project"

INHERITED: Final = {
    ("VersionPart", "extraRegistries"): "added to the image's registries",
    ("VersionPart", "overrideRegistries"): "in place of the image's registries",
    ("ImagePart", "extraRegistries"): "added to the project's `registries`",
    ("ImagePart", "overrideRegistries"): "in place of the project's `registries`",
    ("VersionPart", "buildTarget"): "from the image",
    ("MatrixPart", "buildTarget"): "from the image",
    ("VariantPart", "options"): "field by field from the image",
    ("ImagePart", "tagPolicy"): "from the project",
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
}
