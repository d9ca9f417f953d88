"""A project that is broken in any way is reported as problems with places, never as a traceback."""

import copy
import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bakery.config.yaml.document import Document
from bakery.config.yaml.problem import InvalidProject
from bakery.targets.expand import check_expansion
from bakery.targets.select import Selection, select, select_versions
from tests import projects
from tests.config import parsing
from tests.hypothesis_profiles import examples

DOCUMENTS = [Document((projects.HERE / name / "bakery.yaml").read_text(), name).value for name in projects.NAMES]
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 10**25), st.floats(), st.text(max_size=12),
    st.sampled_from(["{{ Version", "{{ X }}", "{{ OS.a.b }}", "a" * 300, "2026.01.0+1", "..", "-", "{{ 1/0 }}", "é ü"]),
    st.lists(st.one_of(st.integers(), st.text(max_size=3), st.none()), max_size=3),
    st.dictionaries(st.text(max_size=6), st.one_of(st.integers(), st.text(max_size=3)), max_size=3),
)  # fmt: skip


def places(value, path=()):
    yield path
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in entries:
        yield from places(inner, (*path, key))


@settings(max_examples=examples(150))
@given(data=st.data())
def test_a_broken_project_is_reported_as_problems(data):
    document = copy.deepcopy(data.draw(st.sampled_from(DOCUMENTS)))
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from([one for one in places(document) if one]))
        holder = document
        for key in path[:-1]:
            holder = holder[key]
        action = data.draw(st.sampled_from(["replace", "remove", "repeat", "rename"]))
        if action == "replace":
            holder[path[-1]] = data.draw(VALUES)
        elif action == "remove":
            del holder[path[-1]]
        elif action == "repeat" and isinstance(holder, list):
            holder.append(copy.deepcopy(holder[path[-1]]))
        elif isinstance(holder, dict):
            holder[data.draw(st.text(max_size=8))] = holder.pop(path[-1])
    text = json.dumps(document, indent=1)
    try:
        project = parsing.project(text)
        select(project, Selection(matrix_versions="include", dev_versions="include"))
        select_versions(project, Selection(matrix_versions="include"))
        check_expansion(project)
    except InvalidProject as error:
        invalid = error
    else:
        return
    assert all(problem.line for problem in invalid.problems if not problem.warning), str(invalid)


@pytest.mark.slow
def test_a_file_with_20000_errors_is_checked_quickly():
    began = time.process_time()
    wrong = [{"nam": index, "versions": [{"name": 1.5, f"key{index}": 1}]} for index in range(20_000)]
    found = parsing.problems(parsing.project, json.dumps({"repository": 1, "images": wrong}))
    assert len(found) > 1000
    assert time.process_time() - began < 10
