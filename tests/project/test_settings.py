"""What a project can be told, where, and what becomes of mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest

from perdure.core.errors import SettingsError
from perdure.project.folder import Project
from perdure.project.reference import reference
from perdure.project.settings import SETTINGS, Settings, load


@pytest.fixture
def project(folder: Path) -> Project:
    return Project(folder)


def say(project: Project, text: str, name: str = "perdure.toml") -> None:
    (project.root / name).write_text(text, encoding="utf-8")


def test_without_a_word_the_defaults_hold(project: Project) -> None:
    """Nothing needs to be told; the store is the project's own database."""
    settings = load(project, environ={})
    assert settings == Settings(store=f"sqlite://{project.database}")
    assert settings.worker.lease == 15_000_000
    assert settings.durability == "full"


def test_the_call_goes_before_the_environment_before_the_file(project: Project) -> None:
    """Each place is stronger than the next."""
    say(project, 'namespace = "file"\n[worker]\nthreads = 1\nlease = "1m"')
    environ = {"PERDURE_NAMESPACE": "environment", "PERDURE_WORKER_THREADS": "2"}
    settings = load(project, {"namespace": "call", "worker.threads": None}, environ)
    assert settings.namespace == "call"
    assert settings.worker.threads == 2
    assert settings.worker.lease == 60_000_000


def test_every_setting_can_be_told_in_all_three_places(project: Project) -> None:
    """No setting is forgotten by one of the readers."""
    texts = {
        "modules": ("app,jobs", '["app", "jobs"]'),
        "store": ("memory:", '"memory:"'),
        "durability": ("process", '"process"'),
        "namespace": ("north", '"north"'),
        "worker.lease": ("3s", '"3s"'),
        "worker.autostart": ("false", "false"),
        "worker.idle_exit": ("4", "4"),
        "worker.drain": ("1m", '"1m"'),
        "worker.concurrency": ("5", "5"),
        "worker.threads": ("99", "99"),
        "worker.max_abandoned_threads": ("7", "7"),
        "worker.cached_runs": ("0", "0"),
        "worker.block_warning": ("0.5", "0.5"),
        "log.level": ("DEBUG", '"debug"'),
        "log.format": ("json", '"json"'),
    }
    assert set(texts) == set(SETTINGS)
    by_call = load(project, {key: text for key, (text, _) in texts.items()}, {})
    by_environment = load(
        project, None, {SETTINGS[key].variable: text for key, (text, _) in texts.items()}
    )
    say(project, "\n".join(f"{key} = {toml}" for key, (_, toml) in texts.items()))
    by_file = load(project, environ={})
    assert by_call == by_environment == by_file
    assert by_file.modules == ("app", "jobs")
    assert by_file.worker.block_warning == 500_000
    unchanged = load(Project(project.root / "other"), environ={})
    for key in SETTINGS:
        assert _value(by_file, key) != _value(unchanged, key), key


def _value(settings: Settings, key: str) -> object:
    value: object = settings
    for part in key.split("."):
        value = getattr(value, part)
    return value


def test_pyproject_speaks_for_the_project_too(project: Project) -> None:
    """[tool.perdure] means the same as perdure.toml."""
    say(project, '[tool.perdure]\nmodules = ["app"]\nworker.threads = 3', "pyproject.toml")
    settings = load(project, environ={})
    assert settings.modules == ("app",)
    assert settings.worker.threads == 3


def test_a_foreign_pyproject_is_not_even_parsed(project: Project) -> None:
    """A file that does not speak of Perdure is none of its business, broken or not."""
    say(project, "[tool.other", "pyproject.toml")
    assert load(project, environ={}).modules == ()


def test_two_places_of_the_same_strength_are_refused(project: Project) -> None:
    """Nobody should have to guess which of two files counts."""
    say(project, 'namespace = "a"')
    say(project, '[tool.perdure]\nnamespace = "b"', "pyproject.toml")
    with pytest.raises(SettingsError, match="keep them in one of the two places"):
        load(project, environ={})


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("modulse = []", ["modulse", "did you mean modules?", "perdure.toml"]),
        ("lease = 3", ["unknown setting lease", "did you mean worker.lease?"]),
        ("[worker]\nleas = 3", ["worker.leas", "did you mean worker.lease?"]),
        ("[wroker]\nlease = 3", ["unknown setting wroker"]),
        ("qqqqqqqq = 1", ["the settings are modules, store"]),
        ("worker = 3", ["worker = 3", "[worker]"]),
        ('modules = "app"', ["modules = 'app'", "a list of texts"]),
        ("modules = [1]", ["modules = [1]", "a list of texts"]),
        ("namespace = ''", ["namespace = ''", "a text"]),
        ("durability = 'half'", ["'half'", '"full" or "process"', "perdure.toml"]),
        ("[worker]\nthreads = '4'", ["worker.threads = '4'", "a whole number, 1 or more"]),
        ("[worker]\nthreads = true", ["worker.threads = True"]),
        ("[worker]\nthreads = 0", ["worker.threads = 0", "1 or more"]),
        ("[worker]\nlease = 'soon'", ["worker.lease = 'soon'", "a duration", "1s or more"]),
        ("[worker]\nlease = 0.5", ["worker.lease = 0.5", "1s or more"]),
        ("[worker]\nlease = []", ["worker.lease = []", "a duration"]),
        ("a = = 1", ["is not TOML", "line 1"]),
    ],
)
def test_a_mistake_in_the_file_is_named(project: Project, text: str, parts: list[str]) -> None:
    """The message has the value, the setting, the file and what would be right."""
    say(project, text)
    with pytest.raises(SettingsError) as caught:
        load(project, {"worker.lease": "9s"}, {})
    for part in [*parts, str(project.root)]:
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text", "part"),
    [
        ("PERDURE_WORKER_LEAS", "3s", "did you mean PERDURE_WORKER_LEASE?"),
        ("PERDURE_PROJEKT", "/x", "did you mean PERDURE_PROJECT?"),
        ("PERDURE_WORKER_THREADS", "many", "PERDURE_WORKER_THREADS = 'many' in the environment"),
        ("PERDURE_LOG_FORMAT", "xml", '"plain" or "json"'),
        ("PERDURE_WORKER_LEASE", "soon", "a duration"),
    ],
)
def test_a_mistake_in_the_environment_is_named(
    project: Project, name: str, text: str, part: str
) -> None:
    """A misspelled variable is not ignored."""
    with pytest.raises(SettingsError) as caught:
        load(project, environ={name: text})
    assert part in str(caught.value)


def test_variables_of_others_and_empty_ones_are_left_alone(project: Project) -> None:
    """A Kubernetes service called perdure puts its own variables beside ours."""
    environ = {
        "PERDURE_SERVICE_HOST": "10.0.0.1",
        "PERDURE_DASHBOARD_SERVICE_PORT_HTTP": "80",
        "PERDURE_PORT": "tcp://10.0.0.1:80",
        "PERDURE_PORT_80_TCP_ADDR": "10.0.0.1",
        "PERDURE_PROJECT": str(project.root),
        "PERDURE_NAMESPACE": "",
    }
    assert load(project, environ=environ) == load(project, environ={})


def test_an_unknown_setting_in_a_call_is_named(project: Project) -> None:
    """The command line gets the same help."""
    with pytest.raises(SettingsError, match=r"worker\.thread in the call; did you mean worker"):
        load(project, {"worker.thread": 3}, {})


def test_bytes_that_are_no_text_are_no_setting(project: Project) -> None:
    """Python makes lone surrogates of them, which no database takes."""
    with pytest.raises(SettingsError, match=r"'\\udcff'.*a text"):
        load(project, environ={"PERDURE_NAMESPACE": "\udcff"})


def test_a_password_does_not_get_into_a_message(project: Project) -> None:
    """Messages end up in logs."""
    with pytest.raises(SettingsError) as caught:
        load(project, {"store": ["postgresql://me:secret@host/db"]}, {})
    assert "secret" not in str(caught.value)
    assert "me:" in str(caught.value)


@pytest.mark.parametrize(
    ("told", "meant"),
    [
        ("postgresql://me@host/db", "postgresql://me@host/db"),
        ("memory:", "memory:"),
        ("sqlite:///abs/x.db", "sqlite:///abs/x.db"),
        ("/abs/x.db", "sqlite:///abs/x.db"),
        ("data/x.db", "sqlite://{root}/data/x.db"),
    ],
)
def test_a_path_to_a_store_begins_at_the_project(project: Project, told: str, meant: str) -> None:
    """Which database is used does not depend on the current folder."""
    say(project, f'store = "{told}"')
    assert load(project, environ={}).store == meant.format(root=project.root)


def test_the_reference_page_has_every_setting() -> None:
    """Name, sentence, default and variable."""
    page = reference()
    for setting in SETTINGS.values():
        assert f"## {setting.key}\n" in page
        assert setting.doc.endswith((".", ")"))
        assert f"`{setting.variable}`" in page
    assert '- Default: `"15s"`' in page


def test_a_call_may_name_a_section(project: Project) -> None:
    """`worker={"lease": "3s"}` is `worker.lease`; what is unknown in it is refused by its name."""
    assert load(project, {"worker": {"lease": "3s", "threads": None}}, {}).worker.lease == 3_000_000
    with pytest.raises(SettingsError, match=r"unknown setting worker\.leas.* worker\.lease"):
        load(project, {"worker": {"leas": "3s"}}, {})
