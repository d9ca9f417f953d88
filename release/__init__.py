"""Making a release: sdist, wheel, SBOM and checksums, the same bytes on every machine. `make release` runs it."""
