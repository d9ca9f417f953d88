"""What the address of a git remote suggests: a web address without secrets, a registry, valid names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bakery.config.names import uid_fault
from bakery.config.remote import image_name, label_namespace, registry_of_forge, web_address
from bakery.config.schema.url import http_url
from bakery.oci.reference import Repository

REMOTES = {
    "git@github.com:acme/app.git": "https://github.com/acme/app",
    "github.com:acme/app": "https://github.com/acme/app",
    "ssh://git@git.example.org:2222/team/app.git": "https://git.example.org/team/app",
    "https://github.com/acme/app.git/": "https://github.com/acme/app",
    "http://localhost:3000/app": "http://localhost:3000/app",
    "work:acme/app": "",
    "ssh://work/acme/app": "",
    "https://github.com/acme/app.git": "https://github.com/acme/app",
    "https://x-access-token:secret@github.com/acme/app": "https://github.com/acme/app",
    "http://git.example.org:8080/app": "http://git.example.org:8080/app",
    "git://git.example.org/app.git": "https://git.example.org/app",
    "github.com/acme/app": "https://github.com/acme/app",
    "/srv/git/app.git": "",
    "../app": "",
    "file:///srv/git/app.git": "",
    "https://github.com": "",
    "https://github.com:port/app": "",
    "https://[::1/app": "",
    "https://github.com/two words": "",
    "": "",
}


@pytest.mark.parametrize(("remote", "address"), REMOTES.items(), ids=REMOTES)
def test_a_remote_has_a_web_address_without_login_or_none(remote, address):
    assert web_address(remote) == address


@given(st.text(max_size=60))
def test_a_web_address_is_a_url_that_bakery_yaml_accepts_as_it_is(text):
    address = web_address(text)
    assert address == "" or http_url(address) == address


REGISTRIES = {
    "https://github.com/Acme/App": "ghcr.io/acme",
    "https://gitlab.com/Group/sub/app": "registry.gitlab.com/group/sub/app",
    "https://codeberg.org/acme/app": "codeberg.org/acme",
    "https://acme.ghe.com/Images/App": "containers.acme.ghe.com/images",
    "https://git.example.org/acme/app": "",
    "": "",
}


@pytest.mark.parametrize(("url", "registry"), REGISTRIES.items(), ids=REGISTRIES)
def test_only_a_known_forge_suggests_a_registry(url, registry):
    assert registry_of_forge(url) == registry


@given(st.text(max_size=40), st.text(max_size=40))
def test_the_name_of_the_image_is_valid_whatever_repository_and_folder_are_called(path, folder):
    name = image_name(f"https://example.org/{path}", folder)
    assert Repository.parse(f"localhost/{name}").path == name
    assert uid_fault(name) == ""


def test_the_prefix_of_labels_is_the_reversed_host_and_the_owner():
    assert label_namespace("https://github.com/Acme_Inc/app") == "com.github.acme-inc"
    assert label_namespace("https://git.example.org/app") == "org.example.git.app"
    assert label_namespace("http://localhost:3000/%C3%A9/app") == "localhost.c3-a9"
    assert label_namespace("https://é/x") == "x"
