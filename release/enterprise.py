"""The last versions of the artifact actions that GitHub Enterprise Server runs."""

UPLOAD = "actions/upload-artifact@c6a366c94c3e0affe28c06c8df20a878f24da3cf # v3.2.2"
DOWNLOAD = "actions/download-artifact@a9bc5e6ef2cb54c177f32aa5726adaa15e7e2d59 # v3.1.0"
