"""Templates render to the files in the example projects; macros emit what config.md 17 says; errors are reported."""
# ruff: noqa: E501 - rows of a table, and commands on one line

from pathlib import Path

import pytest
from jinja2 import TemplateError

from bakery.config import jinja
from bakery.config.load import load_project
from bakery.config.matrix import rows
from bakery.templates import render
from bakery.templates.render import TemplatesFailed, render_template_tree, tidy, write_files
from tests import projects

# The original tool renders them for every version; we skip versions that do not have the system (config.md 17).
SKIPPED = {
    ("relay", "3.4.1"): {"Containerfile.rhel8"},
    ("relay", "3.3.9"): {"Containerfile.rhel8", "Containerfile.scratch"},
    ("relay", "2.9.0"): {"Containerfile.scratch", "Containerfile.almalinux9"},
}


def versions_of(name):
    project = load_project(projects.HERE / name)
    for image in project.images:
        yield from ((image, version) for version in image.versions)
        if image.matrix is not None:
            resolved = {one.dependency: ("1.0",) for one in image.matrix.constraints}
            yield image, rows(image.matrix, resolved).versions[0]


CASES = [
    pytest.param(name, image, version, id=f"{image.name}-{version.name}")
    for name in projects.NAMES
    for image, version in versions_of(name)
]


@pytest.mark.parametrize(("name", "image", "version"), CASES)
def test_every_example_renders_to_the_files_in_it(name, image, version):
    context = projects.HERE / name
    directory = context / image.subpath / version.subpath
    wanted = {p.relative_to(directory).as_posix(): p.read_bytes() for p in directory.rglob("*") if p.is_file()}
    for path in SKIPPED.get((image.name, version.name), ()):
        del wanted[path]
    rendered = render_template_tree(context, image, version)
    assert {file.path: file.content for file in rendered.files} == wanted


def image_with(tmp_path, templates, extra=""):
    (tmp_path / "bakery.yaml").write_text(
        "repository: {url: example.org}\n"
        f"images: [{{name: app, {extra} versions: [{{name: 1.0.0, os: [{{name: Ubuntu 24.04}}], values: {{v: w}}}}]}}]\n"
    )
    for name, text in templates.items():
        target = tmp_path / "app" / "template" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    image = load_project(tmp_path).images[0]
    return image, image.versions[0]


def test_modes_are_kept_and_template_suffixes_removed(tmp_path):
    image, version = image_with(
        tmp_path, {"a.jinja2": "{{ v }}", "b.j2": "{{ v }}", "c.jinja": "{{ v }}", "d.sh": "#!x"}
    )
    (tmp_path / "app" / "template" / "d.sh").chmod(0o755)
    rendered = render_template_tree(tmp_path, image, version)
    assert [(file.path, file.content) for file in rendered.files] == [
        ("a", b"w\n"), ("b", b"w\n"), ("c", b"w\n"), ("d.sh", b"#!x"),
    ]  # fmt: skip
    write_files(tmp_path / "out", rendered.files)
    assert (tmp_path / "out" / "d.sh").stat().st_mode & 0o777 == 0o755


def test_an_image_without_variants_gets_one_containerfile_per_system(tmp_path):
    templates = {f"Containerfile.{one}.jinja2": "FROM {{ Image.OS.Name }}" for one in ("ubuntu2404", "debian12")}
    rendered = render_template_tree(tmp_path, *image_with(tmp_path, templates))
    assert [(file.path, file.content) for file in rendered.files] == [("Containerfile.ubuntu2404", b"FROM ubuntu\n")]
    assert "debian12" in rendered.notes[0]


def test_only_templates_whose_path_starts_with_a_match_are_rendered(tmp_path):
    image, version = image_with(tmp_path, {"deps/a.jinja2": "x", "b.jinja2": "y"})
    assert [file.path for file in render_template_tree(tmp_path, image, version, ["deps/"]).files] == ["deps/a"]


def test_every_error_has_template_line_image_version_and_variant(tmp_path):
    templates = {
        "Containerfile.ubuntu2404.jinja2": "FROM x\n\n{{ Image.Nothing }}",
        "bad.jinja2": "{% if %}",
        "raising.jinja2": "{{ raise('not this one') }}",
    }
    image, version = image_with(tmp_path, templates, extra="variants: [{name: Std}, {name: Min}],")
    with pytest.raises(TemplatesFailed) as caught:
        render_template_tree(tmp_path, image, version)
    text = str(caught.value)
    assert len(caught.value.faults) == 4
    assert "app/template/Containerfile.ubuntu2404.jinja2:3: " in text
    assert "(app 1.0.0 Std)" in text
    assert "(app 1.0.0 Min)" in text
    assert "bad.jinja2:1" in text
    assert "not this one" in text


@pytest.mark.parametrize(
    "text", ["{{ ''.__class__.__mro__ }}", "{{ Image.__init__.__globals__ }}", "{{ [].append(1) }}"], ids=str
)
def test_templates_cannot_escape_the_sandbox(tmp_path, text):
    with pytest.raises(TemplatesFailed):
        render_template_tree(tmp_path, *image_with(tmp_path, {"a.jinja2": text}))


def test_a_file_outside_the_template_directory_cannot_be_included(tmp_path):
    (tmp_path / "secret").write_text("s3cret")
    with pytest.raises(TemplatesFailed):
        render_template_tree(tmp_path, *image_with(tmp_path, {"a.jinja2": "{% include '../../secret' %}"}))


def test_a_macro_file_of_the_project_replaces_ours(tmp_path):
    templates = {"apt.j2": "{% macro run_setup() %}mine{% endmacro %}",
                 "a.jinja2": "{% import 'apt.j2' as apt %}{{ apt.run_setup() }}"}  # fmt: skip
    rendered = render_template_tree(tmp_path, *image_with(tmp_path, templates))
    assert [(file.path, file.content) for file in rendered.files] == [("a", b"mine\n")]


def macro(text: str) -> str:
    from jinja2 import FileSystemLoader

    name = text.partition(".")[0]
    environment = jinja.environment(strict=True, loader=FileSystemLoader(render._MACROS), keep_end=True)
    return tidy(environment.from_string(f'{{% import "{name}.j2" as {name} %}}{{{{ {text} }}}}').render())


MACROS = {
    "apt.run_setup(codename='noble')": ["RUN printf 'Acquire::Retries \"3\"", "99-retries", "dist-upgrade", "autoremove",
        "ca-certificates", "localedef", "public/pro/setup.deb.sh | codename=noble bash", "ENV LANG=", "ENV LC_ALL="],
    "apt.run_install('curl, tar', ['list.txt'])": ["RUN apt-get update", "--no-install-recommends \\\n        curl \\\n"
        "        tar && \\\n    xargs -a list.txt apt-get install -yqq", "rm -rf /var/lib/apt/lists/*\n"],
    "apt.setup_posit_repo('open')": ["https://dl.posit.co/public/open/setup.deb.sh | bash\n"],
    "dnf.run_install(['a', 'b'])": ["RUN dnf install -yq --allowerasing \\\n        a \\\n        b && \\\n    dnf clean"],
    "dnf.run_setup()": ["findutils", "public/pro/setup.rpm.sh"],
    "python.build_stage(['3.13.7', '3.12.1'])": ["FROM ghcr.io/astral-sh/uv:debian-slim AS python-builder",
        "uv python install 3.13.7", "/opt/python/3.12.1"],
    "python.copy_from_build_stage()": ["COPY --from=python-builder /opt/python /opt/python\n"],
    "python.run_install_packages(['3.13.7', '3.12.1'], ['x'], 'r.txt')": [
        "RUN /opt/python/3.13.7/bin/pip install --no-cache-dir --upgrade --break-system-packages x && \\\n    ",
        "/opt/python/3.12.1/bin/pip install --no-cache-dir --upgrade --break-system-packages -r r.txt && \\\n    rm -f r.txt\n"],
    "python.declare_build_arg()": ["ARG PYTHON_VERSION\n"],
    "python.build_arg()": ["${PYTHON_VERSION}\n"],
    "r.run_install(['4.5.2', '4.4.3'])": ["R_VERSION=4.5.2 bash\nRUN curl", "R_VERSION=4.4.3 bash\n"],
    "r.get_p3m_cran_repo({'Codename': 'noble', 'Family': 'debian', 'Version': '24.04'})": ["__linux__/noble/latest"],
    "r.get_p3m_cran_repo({'Codename': None, 'Family': 'rhel', 'Version': '9'})": ["__linux__/rhel9/latest"],
    "r.run_install_packages('4.5.2', ['a', 'b'])": ["RUN /opt/R/4.5.2/bin/R", 'install.packages(c("a", "b")'],
    "quarto.run_install(['1.8.26'], True)": ["RUN --mount=type=secret,id=github_token", "quarto=1.8.26", "hold quarto",
        "install tinytex"],
    "quarto.run_install('1.8.26', os_family='rhel')": ["quarto-1.8.26", "versionlock"],
    "goss.build_arg_env_var('R_VERSION')": ["{{ .Env.BUILD_ARG_R_VERSION }}\n"],
}  # fmt: skip


@pytest.mark.parametrize(("text", "pieces"), MACROS.items(), ids=MACROS)
def test_a_macro_emits_the_text_of_the_spec(text, pieces):
    emitted = macro(text)
    for piece in pieces:
        assert piece in emitted
    if "run_" in text:
        lines = emitted.splitlines()
        assert all(line.startswith(("RUN ", "ENV ", "    ")) for line in lines)


@pytest.mark.parametrize(
    "text", ["apt.setup_posit_repo('x')", "apt.install()", "dnf.install()", "python.install_packages('3')",
             "quarto.install(['1', '2'])"],
)  # fmt: skip
def test_a_macro_with_invalid_arguments_fails(text):
    with pytest.raises(TemplateError):
        macro(text)


def test_rendered_text_is_tidied():
    assert tidy("") == ""
    assert tidy("\n\n") == ""
    assert tidy("a  \nb\t\n\n\n") == "a\nb\n"


def test_macro_files_are_part_of_the_package():
    assert {path.name for path in Path(render.__file__).with_name("macros").iterdir()} >= {
        "apt.j2", "dnf.j2", "python.j2", "r.j2", "quarto.j2", "goss.j2",
    }  # fmt: skip
