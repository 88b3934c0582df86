"""Each variable has a range and says so; one error names every problem, and no typo passes."""

import pytest

from sqs_worker import settings
from sqs_worker.settings import BadSettings, Settings, read
from sqs_worker.variables import CALL_POINTS, CRASH_POINTS, VARIABLES, Variable

URL = "https://sqs.us-west-1.amazonaws.com/123456789012/queue"
MINIMUM = {"QUEUE_URL": URL}
TABLES = {"MESSAGE_STATUS_TABLE": "status", "MESSAGE_COMPLETED_TABLE": "completed"}

DEFAULTS = {
    "QUEUE_URL": URL,
    "AWS_REGION": "",
    "START_TIMEOUT_SECONDS": 60.0,
    "WAIT_TIME_SECONDS": 10,
    "MAX_MESSAGES": 1,
    "CONCURRENCY": 1,
    "COMMIT_BATCH": 1,
    "VISIBILITY_TIMEOUT_SECONDS": None,
    "HEARTBEAT_SECONDS": 0.0,
    "HEARTBEAT_LIMIT_SECONDS": 3600.0,
    "SHUTDOWN_GRACE_SECONDS": 25.0,
    "SLEEP_MIN_SECONDS": 0.1,
    "SLEEP_MAX_SECONDS": 1.0,
    "LONG_SLEEP_SECONDS": 0.0,
    "LONG_SLEEP_EVERY": 0,
    "CRASH_RATE": 0.0,
    "CRASH_AFTER_RECEIVE": False,
    "CRASH_AFTER_SIDE_EFFECT": False,
    "CRASH_AT": "",
    "CRASH_MAX_RECEIVES": 0,
    "IDEMPOTENCY_KEY": "",
    "IDEMPOTENCY_CACHE_SIZE": 1000,
    "MESSAGE_LIMIT": 0,
    "IDLE_TIMEOUT_SECONDS": 0.0,
    "REJECT_PAYLOAD_MARKER": "",
    "MESSAGE_STATUS_TABLE": "",
    "MESSAGE_COMPLETED_TABLE": "",
    "USE_TRANSACTIONAL_WRITES": False,
    "USE_PARTIQL_STATEMENTS": False,
    "EFFECT_URL": "",
    "EFFECT_MODE": "",
    "EFFECT_TIMEOUT_SECONDS": 5.0,
    "LOG_LEVEL": "INFO",
    "LOG_FORMAT": "text",
    "JOURNAL_PATH": "",
    "ENV_FILE": "",
}

ARN = "arn:aws:dynamodb:us-west-1:123456789012:table/some"
SERVICES = {"EFFECT_URL": "http://127.0.0.1:8080/shop"}
SAGA = {**TABLES, **SERVICES, "EFFECT_MODE": "saga"}
OUTBOX = {**SAGA, "EFFECT_MODE": "outbox", "USE_TRANSACTIONAL_WRITES": "1"}

# What else has to be set so that no rule between settings stands in a value's way.
COMPANY = {
    "HEARTBEAT_SECONDS": {"HEARTBEAT_LIMIT_SECONDS": "43200"},
    "LONG_SLEEP_SECONDS": {"LONG_SLEEP_EVERY": "1"},
    "LONG_SLEEP_EVERY": {"LONG_SLEEP_SECONDS": "1"},
    "SLEEP_MIN_SECONDS": {"SLEEP_MAX_SECONDS": "43200"},
    "SLEEP_MAX_SECONDS": {"SLEEP_MIN_SECONDS": "0"},
    "SHUTDOWN_GRACE_SECONDS": {"WAIT_TIME_SECONDS": "0"},
    "CRASH_AFTER_SIDE_EFFECT": TABLES,
    "IDEMPOTENCY_KEY": TABLES,
    "USE_TRANSACTIONAL_WRITES": TABLES,
    "USE_PARTIQL_STATEMENTS": TABLES,
    "MESSAGE_STATUS_TABLE": {"MESSAGE_COMPLETED_TABLE": "completed"},
    "MESSAGE_COMPLETED_TABLE": {"MESSAGE_STATUS_TABLE": "status"},
    "CRASH_AT": {**SAGA, "HEARTBEAT_SECONDS": "1"},
    "CRASH_MAX_RECEIVES": {"CRASH_AFTER_RECEIVE": "1"},
    "EFFECT_MODE": {**OUTBOX},
}

ARN = "arn:aws:dynamodb:us-west-1:123456789012:table/some-table"
ARNS_WRONG = [
    ARN.replace("dynamodb", "sqs"),
    ARN.replace("123456789012", "12345"),
    ARN.removesuffix("some-table"),
    f"{ARN}/index/i",
    f"{ARN}\n",
]

NUMERIC = [variable for variable in VARIABLES if variable.kind in {"integer", "number"}]
WRONG = {
    "integer": ["ten", "1.5", "1e1", "0x10", "1_0", "1,0", "--1", "9" * 30, "１"],
    "number": [
        *["ten", "nan", "inf", "-inf", "1e999", "1_0", "1,5", "0x10", "1 2"],
        *["１", "1.５", "٣", "1e２", ".", "1e", "--1", "1.2.3"],
    ],
    "table": ["ab", "x" * 256, "a b c", "tablé", "a/b", "{one}", "１２３", *ARNS_WRONG],
    "region": ["us west", "us-west-1\n", "us_west_1", "x" * 64, "ü"],
    "flag": ["yes", "true", "2", "-1", "1.0"],
    "url": [
        "queue",
        "sqs.us-west-1.amazonaws.com/1/q",
        "ftp://host/q",
        "https://host",
        "http://h /q",
        "https://host/1/q/",
        "https://host/1/q?x=1",
        "https://host/1/q\n",
    ],
    "expression": [
        *["[order_id, action", "order id", "order-id", "nosuch(order_id)", "join(order_id)"],
        *["'order_id'", "`1`", "length(@)", "type(order_id)", "not_null(order_id, 'none')"],
        *["{one}", "é", " ", "[" * 5000],
    ],
    "address": [
        *[
            "payments",
            "ftp://host/v1",
            "https://",
            "http://h /v1",
            "http://h/v1?key=1",
            "http://h?",
        ],
        *[
            "http://h/v1#a",
            "http://:80",
            "http://h:0",
            "http://h:65536",
            "http://h:port",
            "http://[",
        ],
        *[
            "http://h/é",
            "http://h/a\nb",
            "http://h\n",
            "http://h..example/v1",
            f"http://{'h' * 64}",
        ],
    ],
}


def named(values: list[Variable]) -> list:
    return [pytest.param(variable, id=variable.name) for variable in values]


def problems(environ: dict[str, str]) -> list[str]:
    with pytest.raises(BadSettings) as caught:
        read(environ)
    return caught.value.problems


def value(found: Settings, name: str) -> object:
    return getattr(found, name.lower())


def lines_about(name: str, text: str) -> list[str]:
    environ = {**MINIMUM, **COMPANY.get(name, {}), name: text}
    return [line for line in problems(environ) if line.startswith(f"{name}={text!r}")]


def test_every_variable_is_a_field_with_the_default_of_the_specification() -> None:
    found = read(MINIMUM)
    assert {v.name: value(found, v.name) for v in VARIABLES} == DEFAULTS


@pytest.mark.parametrize("variable", named([v for v in VARIABLES if v.name != "QUEUE_URL"]))
def test_set_but_empty_counts_as_not_set(variable: Variable) -> None:
    assert value(read({**MINIMUM, variable.name: ""}), variable.name) == DEFAULTS[variable.name]


@pytest.mark.parametrize("variable", named(NUMERIC))
def test_the_lowest_value_is_taken_and_what_is_below_is_not(variable: Variable) -> None:
    assert variable.low is not None
    environ = {**MINIMUM, **COMPANY.get(variable.name, {}), variable.name: f"{variable.low:g}"}
    if variable.name in {"LONG_SLEEP_SECONDS", "LONG_SLEEP_EVERY"}:
        environ = {**MINIMUM, variable.name: "0"}
    if variable.name == "SHUTDOWN_GRACE_SECONDS":
        assert variable.low == 1
    assert value(read(environ), variable.name) == variable.low
    (line,) = lines_about(variable.name, f"{variable.low - 1:g}")
    assert variable.allowed in line


@pytest.mark.parametrize("variable", named([v for v in NUMERIC if v.high is not None]))
def test_the_highest_value_is_taken_and_what_is_above_is_not(variable: Variable) -> None:
    assert variable.high is not None
    extra = dict(COMPANY.get(variable.name, {}))
    extra.pop("VISIBILITY_TIMEOUT_SECONDS", None)
    environ = {**MINIMUM, **extra, variable.name: f"{variable.high:.0f}"}
    assert value(read(environ), variable.name) == variable.high
    (line,) = lines_about(variable.name, f"{variable.high + 1:.0f}")
    assert variable.allowed in line


@pytest.mark.parametrize("variable", named([v for v in NUMERIC if v.high is None]))
def test_a_variable_without_a_highest_value_takes_a_large_one(variable: Variable) -> None:
    environ = {**MINIMUM, **COMPANY.get(variable.name, {}), variable.name: "1000000000"}
    assert value(read(environ), variable.name) == 1_000_000_000


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        pytest.param(variable, text, id=f"{variable.name}={text}")
        for variable in VARIABLES
        for text in WRONG.get(variable.kind, [])
    ],
)
def test_a_value_of_the_wrong_type_is_named_with_what_is_allowed(
    variable: Variable, text: str
) -> None:
    (line,) = lines_about(variable.name, text)
    assert line == f"{variable.name}={text!r}: must be {variable.allowed}"


@pytest.mark.parametrize("variable", named([v for v in VARIABLES if v.kind == "choice"]))
def test_a_choice_takes_its_choices_and_nothing_else(variable: Variable) -> None:
    for choice in filter(None, variable.choices):
        environ = {**MINIMUM, **COMPANY.get(variable.name, {}), variable.name: choice}
        assert value(read(environ), variable.name) == choice
    for text in ("nonsense", variable.choices[-1].swapcase(), f"{variable.choices[-1]} "):
        (line,) = lines_about(variable.name, text)
        assert all(choice in line for choice in variable.choices)


@pytest.mark.parametrize("variable", named([v for v in VARIABLES if v.kind == "flag"]))
def test_a_flag_is_0_or_1(variable: Variable) -> None:
    environ = {**MINIMUM, **COMPANY.get(variable.name, {})}
    assert value(read({**environ, variable.name: "0"}), variable.name) is False
    assert value(read({**environ, variable.name: "1"}), variable.name) is True


@pytest.mark.parametrize(
    "variable", named([v for v in VARIABLES if v.kind == "text" and not v.name.startswith("AWS")])
)
def test_text_is_taken_as_it_stands(variable: Variable) -> None:
    text = " a 'b' \"c\" $d {e} %s é "
    environ = {**MINIMUM, **COMPANY.get(variable.name, {}), variable.name: text}
    assert value(read(environ), variable.name) == text


@pytest.mark.parametrize("variable", named([v for v in VARIABLES if v.kind == "table"]))
@pytest.mark.parametrize(
    "text",
    ["abc", "A-Z_a.z-0", "x" * 255, ARN, ARN.replace("arn:aws:", "arn:aws-us-gov:")],
    ids=["short", "every kind", "long", "arn", "gov"],
)
def test_a_table_is_a_name_or_an_arn(variable: Variable, text: str) -> None:
    environ = {**MINIMUM, **COMPANY[variable.name], variable.name: text}
    assert value(read(environ), variable.name) == text


@pytest.mark.parametrize("variable", named([v for v in NUMERIC if v.kind == "number"]))
def test_a_number_may_have_a_point_an_exponent_and_a_sign(variable: Variable) -> None:
    for text, meant in (("1", 1), ("+1.", 1), ("1e0", 1), (".5E+1", 5), (" 1.0 ", 1)):
        if variable.name != "CRASH_RATE" or meant == 1:
            environ = {**MINIMUM, **COMPANY.get(variable.name, {}), variable.name: text}
            assert value(read(environ), variable.name) == meant


@pytest.mark.parametrize(
    ("environ", "names"),
    [
        ({"QUEUE_URL": ""}, ["QUEUE_URL"]),
        ({"MESSAGE_STATUS_TABLE": "one"}, ["MESSAGE_STATUS_TABLE", "MESSAGE_COMPLETED_TABLE"]),
        ({"MESSAGE_COMPLETED_TABLE": "one"}, ["MESSAGE_STATUS_TABLE", "MESSAGE_COMPLETED_TABLE"]),
        (
            {"MESSAGE_STATUS_TABLE": "one", "MESSAGE_COMPLETED_TABLE": "one"},
            ["MESSAGE_STATUS_TABLE", "MESSAGE_COMPLETED_TABLE"],
        ),
        ({"USE_TRANSACTIONAL_WRITES": "1"}, ["USE_TRANSACTIONAL_WRITES", "MESSAGE_STATUS_TABLE"]),
        ({"USE_PARTIQL_STATEMENTS": "1"}, ["USE_PARTIQL_STATEMENTS", "MESSAGE_STATUS_TABLE"]),
        *(
            (
                {**TABLES, table: ARN, "USE_PARTIQL_STATEMENTS": "1"},
                ["USE_PARTIQL_STATEMENTS", f"{table}='{ARN}'"],
            )
            for table in TABLES
        ),
        ({"CRASH_AFTER_SIDE_EFFECT": "1"}, ["CRASH_AFTER_SIDE_EFFECT", "MESSAGE_STATUS_TABLE"]),
        (
            {**TABLES, "CRASH_AFTER_RECEIVE": "1", "CRASH_AFTER_SIDE_EFFECT": "1"},
            ["CRASH_AFTER_RECEIVE=1", "CRASH_AFTER_SIDE_EFFECT=1", "CRASH_AT=''"],
        ),
        (
            {"CRASH_AFTER_RECEIVE": "1", "CRASH_AT": "in-work"},
            ["CRASH_AFTER_RECEIVE=1", "CRASH_AFTER_SIDE_EFFECT=0", "CRASH_AT='in-work'"],
        ),
        (
            {**TABLES, "CRASH_AFTER_SIDE_EFFECT": "1", "CRASH_AT": "after-delete"},
            ["CRASH_AFTER_RECEIVE=0", "CRASH_AFTER_SIDE_EFFECT=1", "CRASH_AT='after-delete'"],
        ),
        (
            {
                **TABLES,
                "CRASH_AFTER_RECEIVE": "1",
                "CRASH_AFTER_SIDE_EFFECT": "1",
                "CRASH_AT": "in-work",
            },
            ["CRASH_AFTER_RECEIVE=1", "CRASH_AFTER_SIDE_EFFECT=1", "CRASH_AT='in-work'"],
        ),
        ({"CRASH_AT": "between-writes"}, ["CRASH_AT", "USE_TRANSACTIONAL_WRITES"]),
        (
            {**TABLES, "CRASH_AT": "between-writes", "USE_TRANSACTIONAL_WRITES": "1"},
            ["CRASH_AT", "USE_TRANSACTIONAL_WRITES"],
        ),
        ({"CRASH_AT": "in-heartbeat"}, ["CRASH_AT", "HEARTBEAT_SECONDS"]),
        (SERVICES, ["EFFECT_URL", "EFFECT_MODE"]),
        ({"EFFECT_MODE": "naive"}, ["EFFECT_URL", "EFFECT_MODE"]),
        ({**SERVICES, "EFFECT_MODE": "saga"}, ["EFFECT_MODE", "MESSAGE_STATUS_TABLE"]),
        (
            {**OUTBOX, "USE_TRANSACTIONAL_WRITES": "0"},
            ["EFFECT_MODE", "USE_TRANSACTIONAL_WRITES"],
        ),
        ({**OUTBOX, "COMMIT_BATCH": "2"}, ["EFFECT_MODE", "COMMIT_BATCH=2"]),
        ({"CRASH_AT": "before-charge"}, ["CRASH_AT", "EFFECT_MODE"]),
        ({**OUTBOX, "CRASH_AT": "after-refund"}, ["CRASH_AT", "EFFECT_MODE"]),
        ({"CRASH_MAX_RECEIVES": "1"}, ["CRASH_MAX_RECEIVES=1", "CRASH_AT"]),
        (
            {"SLEEP_MIN_SECONDS": "3", "SLEEP_MAX_SECONDS": "2.5"},
            ["SLEEP_MIN_SECONDS=3", "SLEEP_MAX_SECONDS=2.5"],
        ),
        ({"LONG_SLEEP_SECONDS": "3"}, ["LONG_SLEEP_SECONDS", "LONG_SLEEP_EVERY"]),
        ({"LONG_SLEEP_EVERY": "2"}, ["LONG_SLEEP_SECONDS", "LONG_SLEEP_EVERY"]),
        (
            {"HEARTBEAT_SECONDS": "5", "VISIBILITY_TIMEOUT_SECONDS": "5"},
            ["HEARTBEAT_SECONDS=5", "VISIBILITY_TIMEOUT_SECONDS=5"],
        ),
        (
            {"HEARTBEAT_SECONDS": "1", "VISIBILITY_TIMEOUT_SECONDS": "0"},
            ["HEARTBEAT_SECONDS=1", "VISIBILITY_TIMEOUT_SECONDS=0"],
        ),
        (
            {"HEARTBEAT_SECONDS": "61", "HEARTBEAT_LIMIT_SECONDS": "60"},
            ["HEARTBEAT_SECONDS=61", "HEARTBEAT_LIMIT_SECONDS=60"],
        ),
        (
            {"SHUTDOWN_GRACE_SECONDS": "10", "WAIT_TIME_SECONDS": "10"},
            ["SHUTDOWN_GRACE_SECONDS=10", "WAIT_TIME_SECONDS=10"],
        ),
    ],
)
def test_settings_that_do_not_go_together_are_one_problem_that_names_them(
    environ: dict[str, str], names: list[str]
) -> None:
    (line,) = problems({**MINIMUM, **environ})
    assert all(name in line for name in names)


@pytest.mark.parametrize(
    "environ",
    [
        TABLES,
        {**TABLES, "USE_TRANSACTIONAL_WRITES": "1", "CRASH_AFTER_SIDE_EFFECT": "1"},
        {**TABLES, "CRASH_AT": "between-writes"},
        {"CRASH_AFTER_RECEIVE": "1", "CRASH_RATE": "0.2"},
        {"SLEEP_MIN_SECONDS": "2", "SLEEP_MAX_SECONDS": "2"},
        {"LONG_SLEEP_SECONDS": "10", "LONG_SLEEP_EVERY": "2"},
        {"HEARTBEAT_SECONDS": "4.9", "VISIBILITY_TIMEOUT_SECONDS": "5"},
        {"HEARTBEAT_SECONDS": "0", "VISIBILITY_TIMEOUT_SECONDS": "0"},
        {"SHUTDOWN_GRACE_SECONDS": "10.5"},
        {**SERVICES, "EFFECT_MODE": "naive", "CRASH_AT": "before-charge"},
        {**OUTBOX, "CRASH_AT": "after-charge", "CRASH_MAX_RECEIVES": "1"},
        {**SAGA, "CRASH_AT": "after-refund"},
    ],
)
def test_settings_that_go_together_pass(environ: dict[str, str]) -> None:
    read({**MINIMUM, **environ})


@pytest.mark.parametrize("beat", ["0.000001", "0.09999", "1e-300"])
def test_a_heartbeat_that_makes_no_sense_is_refused_with_what_is_allowed(beat: str) -> None:
    (line,) = problems({**MINIMUM, "HEARTBEAT_SECONDS": beat})
    assert line.startswith(f"HEARTBEAT_SECONDS={float(beat):g}: must be 0 (off), or 0.1 or more")


@pytest.mark.parametrize("beat", ["0", "0.0", "0.1", "0.5", "1"])
def test_a_heartbeat_that_makes_sense_or_is_off_is_taken(beat: str) -> None:
    assert read({**MINIMUM, "HEARTBEAT_SECONDS": beat}).heartbeat_seconds == float(beat)


def test_a_fifo_queue_is_refused_with_what_is_missing() -> None:
    (line,) = problems({"QUEUE_URL": f"{URL}.fifo"})
    assert line.startswith(f"QUEUE_URL='{URL}.fifo': a FIFO queue; ")
    assert "the order within a message group" in line


@pytest.mark.parametrize(
    "url", ["http://[::1]:8080/v1", "https://pay.example:443", "http://bücher"]
)
def test_an_address_that_can_be_called(url: str) -> None:
    assert read({**MINIMUM, "EFFECT_MODE": "key", "EFFECT_URL": url}).effect_url == url


@pytest.mark.parametrize("name", ["EFFECT_URL", "EFECT_URL", "QUEUE_URL"])
@pytest.mark.parametrize(
    "address",
    [
        *["https://SECRET:SECRET@host/v1", "https://SECRET@host", "HTTPS://SECRET:SECRET@host"],
        *["https://SECRET:a/SECRET@host", "https://SECRET:a@SECRET@host", "SECRET:SECRET@host"],
        *["https://SECRET:a\nSECRET@host:99999/v1", "https://a:SECRET@"],
    ],
)
def test_credentials_in_an_address_are_refused_and_never_printed(name: str, address: str) -> None:
    text = "\n".join(problems({**MINIMUM, "EFFECT_MODE": "key", name: address}))
    assert name in text
    assert "SECRET" not in text


def test_a_rule_says_nothing_where_one_of_its_settings_is_unreadable() -> None:
    environ = {**MINIMUM, "SLEEP_MIN_SECONDS": "much", "SLEEP_MAX_SECONDS": "0"}
    (line,) = problems(environ)
    assert line.startswith("SLEEP_MIN_SECONDS='much'")


@pytest.mark.parametrize(
    ("slip", "meant"),
    [
        ("MESSAGE_LIMITS", "MESSAGE_LIMIT"),
        ("MESSAGES_LIMIT", "MESSAGE_LIMIT"),
        ("MAX_MESSAGE", "MAX_MESSAGES"),
        ("IDLE_TIMEOUT_SECOND", "IDLE_TIMEOUT_SECONDS"),
        ("CRASH_AFTER_SIDE_EFFECTS", "CRASH_AFTER_SIDE_EFFECT"),
        ("MESSAGE_STATUS_TABEL", "MESSAGE_STATUS_TABLE"),
        ("HEARTBEAT_SECOND", "HEARTBEAT_SECONDS"),
        ("HEARTBEAT", "HEARTBEAT_SECONDS"),
        ("heartbeat", "HEARTBEAT_SECONDS"),
        ("HEARTBEAT_SEC", "HEARTBEAT_SECONDS"),
        ("HEARTBEAT_LIMIT", "HEARTBEAT_LIMIT_SECONDS"),
        ("VISIBILITY_TIMEOUT", "VISIBILITY_TIMEOUT_SECONDS"),
        ("IDLE_TIMEOUT_MS", "IDLE_TIMEOUT_SECONDS"),
        ("CONCURENCY", "CONCURRENCY"),
        ("QUEUE_URLS", "QUEUE_URL"),
        ("max_messages", "MAX_MESSAGES"),
        ("Max_Messages", "MAX_MESSAGES"),
        ("max_message", "MAX_MESSAGES"),
        ("aws_region", "AWS_REGION"),
    ],
)
def test_a_misspelt_name_is_refused_and_the_right_one_is_named(slip: str, meant: str) -> None:
    (line,) = problems({**MINIMUM, slip: "7"})
    assert line == f"{slip}='7': no such setting; did you mean {meant}?"


@pytest.mark.parametrize(
    "foreign",
    [
        "DLQ_ARN",
        "AWS_PROFILE",
        "AWS_DEFAULT_REGION",
        "AWS_ENDPOINT_URL",
        "AWS_SESSION_TOKEN",
        "LOCAL_AWS_PORT",
        "PATH",
        "HOME",
        "LANG",
        "PWD",
        "PYTHONPATH",
        "VIRTUAL_ENV",
        "ECR_REPO",
        "COLUMNS",
    ],
)
def test_what_others_set_is_no_business_of_ours(foreign: str) -> None:
    read({**MINIMUM, foreign: "x"})


def test_ten_bad_settings_are_one_error_that_names_all_ten() -> None:
    bad = {
        "QUEUE_URL": "queue",
        "WAIT_TIME_SECONDS": "21",
        "MAX_MESSAGES": "0",
        "CONCURRENCY": "many",
        "COMMIT_BATCH": "11",
        "CRASH_RATE": "1.01",
        "CRASH_AFTER_RECEIVE": "yes",
        "LOG_LEVEL": "LOUD",
        "MESSAGE_STATUS_TABLE": "only-one",
        "MESSAGE_LIMITS": "5",
    }
    found = problems(bad)
    assert len(found) == 10
    text = str(BadSettings(found))
    assert text.splitlines() == found
    assert all(name in text for name in bad)
    assert all(value in text for value in bad.values())


def test_changed_are_the_settings_that_are_not_at_their_default() -> None:
    environ = {**MINIMUM, "MAX_MESSAGES": "10", "SLEEP_MAX_SECONDS": "1", "CRASH_RATE": "0"}
    assert read(environ).changed == {"QUEUE_URL": URL, "MAX_MESSAGES": 10}


def test_tables_are_used_where_both_are_named() -> None:
    assert not read(MINIMUM).has_tables
    assert read({**MINIMUM, **TABLES}).has_tables


def test_usage_has_every_variable_with_default_and_range() -> None:
    text = settings.usage()
    for variable in VARIABLES:
        assert f"  {variable.name}={variable.default}\n" in text
        assert variable.help in text
        assert variable.allowed in text


def test_crash_points_are_the_choices_of_crash_at() -> None:
    (crash_at,) = [variable for variable in VARIABLES if variable.name == "CRASH_AT"]
    assert crash_at.choices == ("", *CRASH_POINTS, *CALL_POINTS)
