"""Settings come from a file, then from the environment; mistakes are named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from supportbot.errors import SettingsError
from supportbot.intents import spotted
from supportbot.settings import DEFAULT_SERVICES, ServiceSettings, Settings, load

Write = Callable[[str], str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a settings file; returns its path."""

    def written(text: str) -> str:
        path = tmp_path / "supportbot.toml"
        path.write_text(text, "utf-8")
        return str(path)

    return written


def refused(path: str | None, environ: dict[str, str]) -> SettingsError:
    """The error that loading raises."""
    with pytest.raises(SettingsError) as caught:
        load(path, environ)
    return caught.value


_ONE = """
[[services]]
name = "shop"
intent = "product question"
url = "https://shop.example/ask"
"""


def test_the_defaults_are_the_services_of_the_challenge() -> None:
    settings = load(None, {})
    assert settings == Settings()
    assert [(s.intent, s.url, s.kind, s.field) for s in settings.services] == [
        ("real person", "http://localhost:8083/", "http-text", "response"),
        ("product question", "http://localhost:8082/", "http-stream", "product_info"),
        ("help", "http://localhost:8081/", "http-stream", "response"),
    ]


@pytest.mark.parametrize("service", DEFAULT_SERVICES, ids=lambda service: service.name)
def test_the_examples_reach_their_services(service: ServiceSettings) -> None:
    intents = [other.intent for other in DEFAULT_SERVICES]
    assert spotted(service.example, intents) == service.intent


def test_a_file(write: Write) -> None:
    path = write(
        '[conversation]\nqueue = 7\n[lines]\nprompt = "? "\n'
        + _ONE
        + 'topics = ["Space Basketball"]\n[services.deadlines]\nidle = 2\n'
    )
    settings = load(path, {})
    assert settings.conversation.queue == 7
    assert settings.lines.prompt == "? "
    (service,) = settings.services
    assert service.name == "shop"
    assert service.title == "shop service"
    assert service.topics == ("Space Basketball",)
    assert service.deadlines.idle == 2.0
    assert service.deadlines.total == Settings().services[0].deadlines.total


def test_an_empty_file(write: Write) -> None:
    assert load(write(""), {}) == Settings()


def test_the_file_may_be_named_by_a_variable(write: Write) -> None:
    path = write("[conversation]\nqueue = 7\n")
    assert load(None, {"SUPPORTBOT_SETTINGS": path}).conversation.queue == 7
    assert load(None, {"SUPPORTBOT_SETTINGS": ""}) == Settings()


def test_a_path_wins_over_the_variable(write: Write) -> None:
    path = write("[conversation]\nqueue = 7\n")
    environ = {"SUPPORTBOT_SETTINGS": "/nowhere"}
    assert load(path, environ).conversation.queue == 7


def test_the_environment_wins_over_the_file(write: Write) -> None:
    path = write("[conversation]\nqueue = 7\nbatch = 3\n" + _ONE)
    environ = {
        "SUPPORTBOT_CONVERSATION__QUEUE": "5",
        "SUPPORTBOT_SERVICES__SHOP__URL": "http://[::1]:8082/",
        "SUPPORTBOT_SERVICES__SHOP__RETRY__BUDGET": "1.5",
        "SUPPORTBOT_SERVICES__SHOP__SUGGEST": "true",
        "CONVERSATION__QUEUE": "99",
        "PATH": "/usr/bin",
    }
    settings = load(path, environ)
    assert (settings.conversation.queue, settings.conversation.batch) == (5, 3)
    (service,) = settings.services
    assert service.url == "http://[::1]:8082/"
    assert service.retry.budget == 1.5
    assert service.suggest


def test_the_environment_reaches_the_default_services() -> None:
    environ = {"SUPPORTBOT_SERVICES__PRODUCT_INFO__URL": "http://127.0.0.1:9000/"}
    settings = load(None, environ)
    assert [service.url for service in settings.services] == [
        "http://localhost:8083/",
        "http://127.0.0.1:9000/",
        "http://localhost:8081/",
    ]
    assert load(None, {}) == Settings()


def test_settings_can_not_be_changed() -> None:
    with pytest.raises(AttributeError):
        load(None, {}).conversation.queue = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "key", "expected"),
    [
        ("queue", "", "TOML"),
        ("[conversation]\nqueue = 0", "conversation.queue", "int >= 1"),
        ('[conversation]\nqueue = "5"', "conversation.queue", "int, got str"),
        ("[conversation]\nqueue = 5.5", "conversation.queue", "int, got float"),
        ("[conversation]\nque = 5", "conversation", "unknown field que"),
        ("[lines]\nidle = nan", "lines.idle", "float > 0.0"),
        ("[lines]\nhigh_water = 1", "lines.high_water", "int >= 2"),
        ("conversation = 3", "conversation", "expected object, got int"),
        ("[nonsense]", "", "unknown field nonsense"),
        ('services = "shop"', "services", "expected array"),
        (_ONE + "urls = 1", "services[0]", "unknown field urls"),
        (_ONE + 'kind = "smtp"', "services[0].kind", "smtp"),
        (_ONE + "[services.bounds]\nbody = -1", "services[0].bounds.body", "int >= 1"),
        (_ONE + _ONE, "", "a name of its own"),
        ('[[services]]\nname = "a"\nintent = "b"', "services[0]", "required field url"),
        (_ONE.replace("shop", "The Shop"), "services[0].name", "expected str"),
        (_ONE.replace('"shop"', '"shop\\n"'), "services[0].name", "expected str"),
        (_ONE.replace("product question", " "), "services[0].intent", "expected str"),
        ("[lines]\nprompt = 1", "lines.prompt", "str, got int"),
    ],
)
def test_a_mistake_in_the_file_is_named(
    write: Write, text: str, key: str, expected: str
) -> None:
    path = write(text)
    error = refused(path, {})
    assert (error.source, error.key) == (path, key)
    assert expected in error.expected
    told = str(error)
    assert told.startswith(f"{path}: {key}" if key else path)
    assert "\n" not in told
    assert "`" not in told


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:8082",
        "//localhost",
        "ftp://localhost/",
        "file:///etc/passwd",
        "http://",
        "http:///path",
        "http://:80/",
        "http://localhost:0/",
        "http://localhost:65536/",
        "http://localhost:port/",
        "http://user:secret@localhost/",
        "http://local host/",
        "http://localhost/\r\nX-Header: 1",
        "http://localhost/\t",
        "http://bücher.example/",
        "http://[::1/",
    ],
)
def test_a_url_that_can_not_be_called(write: Write, url: str) -> None:
    path = write(_ONE.replace('"https://shop.example/ask"', _toml(url)))
    error = refused(path, {})
    assert error.key == "services[0]"
    assert error.expected.startswith("expected url to be http://HOST")
    assert "secret" not in str(error)


def _toml(text: str) -> str:
    return msgspec.json.encode(text).decode()  # a JSON string is a TOML string


@pytest.mark.parametrize(
    ("variable", "text", "key", "expected"),
    [
        ("CONVERSATION__QUEUE", "many", "conversation.queue", "expected int"),
        ("CONVERSATION__QUEUE", "0", "conversation.queue", "int >= 1"),
        ("CONVERSATION__QUEUE", "", "conversation.queue", "expected int"),
        ("CONVERSATION__QUE", "5", "conversation", "unknown field que"),
        ("CONVERSATION__QUEUE__X", "5", "conversation.queue", "expected int"),
        ("LINES__", "5", "lines", "unknown field"),
        ("NONSENSE__X", "5", "", "unknown field nonsense"),
        ("QUEUE", "5", "", "expected SUPPORTBOT_SECTION__KEY"),
        ("", "5", "", "expected SUPPORTBOT_SECTION__KEY"),
        ("SERVICES__SHOP", "5", "", "SERVICES__NAME__KEY"),
        ("SERVICES__OTHER__URL", "http://x/", "", "NAME one of shop"),
        ("SERVICES__SHOP__URL", "x", "services[0]", "expected url"),
        ("SERVICES__SHOP__TOPICS", "x", "services[0].topics", "expected array"),
        ("SERVICES__SHOP__URL__X", "x", "", "no such setting as url"),
        ("SERVICES__SHOP__DEADLINES__IDLE", "0", "services[0].deadlines.idle", "> 0"),
        ("SERVICES__SHOP__DEADLINES__IDLE", "nan", "services[0].deadlines.idle", "> 0"),
    ],
)
def test_a_mistake_in_a_variable_is_named(
    write: Write, variable: str, text: str, key: str, expected: str
) -> None:
    variable = f"SUPPORTBOT_{variable}"
    error = refused(write(_ONE), {variable: text, "SUPPORTBOT_LINES__LINE": "80"})
    assert (error.source, error.key) == (variable, key)
    assert expected in error.expected


def test_a_file_that_is_not_there() -> None:
    error = refused("/nowhere/supportbot.toml", {})
    assert str(error) == "/nowhere/supportbot.toml: no such file or directory"


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    assert refused(str(tmp_path), {}).expected == "is a directory"


def test_a_file_has_to_be_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "latin.toml"
    path.write_bytes(b'[lines]\nprompt = "\xe9"\n')
    assert refused(str(path), {}).expected == "expected UTF-8 text"


def test_no_service_at_all(write: Write) -> None:
    assert load(write("services = []"), {}).services == ()


def test_the_customary_names_of_a_model_and_a_shop() -> None:
    settings = load(
        None,
        {
            "OPENAI_API_KEY": "a-key",
            "OPENAI_BASE_URL": "http://localhost:11434/v1",
            "OPENAI_MODEL": "llama",
            "MCP_SERVER_URL": "https://shop.example/mcp",
        },
    )
    model = settings.assistant
    assert (model.api_key, model.url, model.model) == (
        "a-key",
        "http://localhost:11434/v1",
        "llama",
    )
    assert settings.shop.url == "https://shop.example/mcp"


@pytest.mark.parametrize(
    ("environ", "available"),
    [
        ({}, False),
        ({"OPENAI_MODEL": "gpt-4o"}, False),
        ({"OPENAI_API_KEY": "a-key"}, True),
        ({"OPENAI_BASE_URL": "http://localhost:11434/v1"}, True),
        ({"OPENAI_API_KEY": "", "OPENAI_BASE_URL": ""}, False),
    ],
)
def test_a_model_is_asked_where_there_is_one(
    environ: dict[str, str], available: bool
) -> None:
    assert load(None, environ).assistant.available is available


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[assistant]\nurl = "ftp://x"', "expected url to be http://"),
        ('[assistant]\napi_key = "ä"', "expected api_key to be visible ASCII"),
        ("[assistant]\nwindow = 3000\nanswer = 2000", "expected window to be at least"),
        ('[shop]\nurl = "shop.example"', "expected url to be http://"),
        ('[shop]\nopen = ["verify_customer_pin"]', "expected login to be no tool"),
        ('[shop]\nverified = ["create_order"]', "expected order to be in neither"),
        ('[shop]\nconfirm = "sometimes"', "invalid enum value"),
    ],
)
def test_a_model_or_shop_that_can_not_be_is_refused(
    write: Write, text: str, expected: str
) -> None:
    assert expected in str(refused(write(text), {}))


def test_a_key_is_never_repeated() -> None:
    error = refused(None, {"OPENAI_API_KEY": "sk-gehe\x07im"})
    assert "sk-" not in str(error)


def test_a_table_that_is_named_in_part_keeps_the_rest(write: Write) -> None:
    settings = load(
        write("[assistant.deadlines]\nidle = 8.0\n[shop.retry]\nattempts = 2"),
        {"SUPPORTBOT_ASSISTANT__RETRY__ATTEMPTS": "7"},
    )
    default = Settings()
    assert settings.assistant.deadlines == msgspec.structs.replace(
        default.assistant.deadlines, idle=8.0
    )
    assert settings.assistant.retry == msgspec.structs.replace(
        default.assistant.retry, attempts=7
    )
    assert settings.shop.retry == msgspec.structs.replace(
        default.shop.retry, attempts=2
    )


@pytest.mark.parametrize(
    "origin",
    [
        "https://shop.example",
        "https://shop.example:8443",
        "http://localhost:3000",
        "https://xn--shp-rla.example",
        "HTTPS://Shop.Example",
        "'self'",
    ],
)
def test_who_may_show_the_page_in_a_frame(write: Write, origin: str) -> None:
    page = load(write(f'[page]\nframe_ancestors = ["{origin}"]'), {}).page
    assert page.frame_ancestors == (origin,)


@pytest.mark.parametrize(
    "origin",
    [
        "",
        "*",
        "self",
        "'none'",
        "shop.example",
        "https:",
        "https://",
        "https://*.shop.example",
        "https://shop.example/",
        "https://shop.example/path",
        "https://shop.example:",
        "https://shop.example:port",
        "https://shop..example",
        "https://me@shop.example",
        "https://shop.example https://other.example",
        "https://shop.example; script-src *",
        "https://shop.example\\n",
        "https://shöp.example",
        "javascript://shop.example",
    ],
)
def test_what_is_no_origin_may_not(write: Write, origin: str) -> None:
    error = refused(write(f'[page]\nframe_ancestors = ["{origin}"]'), {})
    assert error.key == "page"
    assert error.expected == (
        "expected frame_ancestors to be https://HOST[:PORT] or 'self'"
    )


@pytest.mark.parametrize(
    "origin",
    [
        "*",
        "null",
        "https://shop.example",
        "http://localhost:3000",
        "http://[::1]:3000",
        "capacitor://localhost",
    ],
)
def test_whose_pages_may_call_the_api(write: Write, origin: str) -> None:
    http = load(write(f'[http]\norigins = ["{origin}"]'), {}).http
    assert http.origins == (origin,)


@pytest.mark.parametrize(
    "origin",
    [
        "",
        "shop.example",
        "https://",
        "https://shop.example/",
        "https://shop.example/path",
        "https://Shop.example",
        "HTTPS://shop.example",
        "https://*.shop.example",
        "https://shop.example https://other.example",
        "https://shop.example\\n",
        "https://shöp.example",
    ],
)
def test_what_browsers_call_no_page_may_not(write: Write, origin: str) -> None:
    error = refused(write(f'[http]\norigins = ["{origin}"]'), {})
    assert error.key == "http"
    assert error.expected == (
        "expected origins to be https://HOST[:PORT] in small letters,"
        " without a path, or *"
    )


def test_a_page_has_a_title(write: Write) -> None:
    assert load(None, {"SUPPORTBOT_PAGE__TITLE": "Shop"}).page.title == "Shop"
    assert refused(write('[page]\ntitle = " "'), {}).key == "page.title"
