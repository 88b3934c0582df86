"""Flags over environment over .env; every bad one is named, in one refusal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from redrive.flags import FLAGS, Verb
from redrive.settings import BadSettingsError, Settings, read

URL = "https://sqs.us-west-1.amazonaws.com/123456789012/q"
OTHER = "https://sqs.us-west-1.amazonaws.com/123456789012/other"
ARN = "arn:aws:sqs:us-west-1:123456789012:q-dlq"
ENV = {"ENV_FILE": "", "QUEUE_URL": URL, "DLQ_ARN": ARN, "MESSAGE_STATUS_TABLE": "status"}


def of(*arguments: str, **environ: str) -> Settings:
    return read(arguments, {**ENV, **environ})


def refused(*arguments: str, **environ: str) -> str:
    with pytest.raises(BadSettingsError) as found:
        of(*arguments, **environ)
    return str(found.value)


def test_without_arguments_nothing_is_moved() -> None:
    found = of()
    assert found.verb is Verb.INSPECT
    assert (found.queue_url, found.dlq_arn, found.status_table) == (URL, ARN, "status")
    assert not found.insist


def test_every_flag_arrives() -> None:
    found = of(
        *("move", "--queue-url", OTHER, "--dlq-arn", ARN, "--status-table", "t", "--region", "r-1"),
        *("--profile", "p", "--filter", "payload", "--limit", "7", "--visibility-timeout", "9"),
        *("--rate", "2.5", "--dry-run", "--max-replays", "0", "--run", "x.1", "--drop-completed"),
        *("--allow-new-ids", "--allow-untagged"),
    )
    assert found.filter is not None
    assert found.filter({"payload": 1})
    assert not found.filter({"payload": None})
    assert (found.verb, found.queue_url, found.dlq_arn, found.insist) == (
        *(Verb.MOVE, OTHER, ARN, True),
    )
    assert (found.status_table, found.region, found.profile) == ("t", "r-1", "p")
    assert (found.limit, found.visibility_timeout, found.rate, found.max_replays) == (7, 9, 2.5, 0)
    assert found.run == "x.1"
    assert (found.dry_run, found.drop_completed) == (True, True)
    assert (found.allow_new_ids, found.allow_untagged) == (True, True)
    shown = of("inspect", "--bodies", "--json")
    assert (shown.bodies, shown.json) == (True, True)


def test_another_queue_takes_neither_dlq_nor_table_of_the_environment() -> None:
    found = of("--queue-url", OTHER)
    assert (found.queue_url, found.dlq_arn, found.status_table) == (OTHER, "", "")
    same = of("--queue-url", URL)
    assert (same.dlq_arn, same.status_table) == (ARN, "status")


def test_the_consumers_key_is_used_if_it_is_of_this_queue() -> None:
    key = of(IDEMPOTENCY_KEY="[order_id, action]").idempotency_key
    assert key is not None
    found = key.identify('{"id": "a", "order_id": "A17", "action": "charge"}', "m-1")
    assert found.business_key == 'key#["A17","charge"]'
    assert of("--queue-url", OTHER, IDEMPOTENCY_KEY="order_id").idempotency_key is None
    assert "IDEMPOTENCY_KEY='a b'" in refused(IDEMPOTENCY_KEY="a b")
    assert "--idempotency-key='`1`'" in refused("--idempotency-key", "`1`")


def test_a_table_can_be_done_without() -> None:
    assert of("--status-table", "").status_table == ""
    assert of(MESSAGE_STATUS_TABLE="").status_table == ""


def test_the_env_file_is_read_only_without_a_queue_in_the_environment(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text(f"QUEUE_URL='{OTHER}'\nMESSAGE_STATUS_TABLE='of-the-file'\nAWS_REGION='r-9'\n")
    environ = {"ENV_FILE": str(file)}
    found = read([], environ)
    assert (found.queue_url, found.status_table, found.region) == (OTHER, "of-the-file", "r-9")
    assert str(file) in found.source
    assert environ["AWS_REGION"] == "r-9"
    named = read(["--queue-url", URL], {"ENV_FILE": str(file)})
    assert (named.queue_url, named.status_table, named.region) == (URL, "", "r-9")
    here = read([], {"ENV_FILE": str(file), "QUEUE_URL": URL})
    assert (here.queue_url, here.status_table) == (URL, "")
    assert "not read" in here.source


def test_each_dlq_has_a_journal_of_its_own_unless_one_is_named(tmp_path: Path) -> None:
    found = of()
    assert found.journal(ARN) == of().journal(ARN)
    assert found.journal(ARN) != found.journal(ARN.replace("us-west-1", "us-east-1"))
    assert found.journal(ARN).parent.parts[-2:] == (".local", "redrive")
    named = of(JOURNAL_PATH=str(tmp_path / "j"))
    assert named.journal(ARN) == tmp_path / "j"


def test_each_run_has_a_name_of_its_own() -> None:
    assert of("move").run != of("move").run


@pytest.mark.parametrize(
    ("arguments", "named", "allowed"),
    [
        (["move", "--queue-url", "q"], "--queue-url='q'", "a queue URL such as"),
        (["move", "--dlq-arn", "q-dlq"], "--dlq-arn='q-dlq'", "the ARN of a queue"),
        (["--status-table", "a b"], "--status-table='a b'", "the name of a table"),
        (["--region", "a b"], "--region='a b'", "a region"),
        (["--profile", ""], "--profile=''", "the name of a profile"),
        (["--filter", "a b"], "--filter='a b'", "a JMESPath expression"),
        (["--filter", ""], "--filter=''", "a JMESPath expression"),
        (["--filter"], "--filter=''", "a JMESPath expression"),
        (["--limit", "-1"], "--limit='-1'", "a whole number, 0 or more"),
        (["--visibility-timeout", "0"], "--visibility-timeout='0'", "1 to 43200"),
        (["--visibility-timeout", "43201"], "--visibility-timeout='43201'", "1 to 43200"),
        (["move", "--rate", "nan"], "--rate='nan'", "a number, 0 or more"),
        (["move", "--rate", "-1"], "--rate='-1'", "a number, 0 or more"),
        (["move", "--max-replays", "1.5"], "--max-replays='1.5'", "a whole number, 0 or more"),
        (["move", "--run", "a b"], "--run='a b'", "1 to 64 of"),
        (["mvoe"], "'mvoe'", "inspect or move"),
        (["--native"], "--native", "a way to move"),
        (["move", "--nosuch"], "--nosuch", "unknown argument"),
        (["move", "--bodies"], "--bodies", "no use with move"),
        (["inspect", "--dry-run"], "--dry-run", "no use with inspect"),
        (["inspect", "--rate", "3"], "--rate", "no use with inspect"),
        (["move", "--native"], "--native", "say --allow-new-ids"),
        *(
            (["move", "--native", "--allow-new-ids", *flag], flag[0], "AWS moves everything")
            for flag in (
                *(["--filter", "payload"], ["--dry-run"], ["--limit", "3"], ["--run", "x"]),
                *(["--max-replays", "2"], ["--drop-completed"], ["--allow-untagged"]),
                *(["--visibility-timeout", "3"], ["--status-table", "t"]),
            )
        ),
        *(
            (["move", "--native", "--allow-new-ids", "--rate", rate], f"'{rate}'", "0 to 500")
            for rate in ("0.5", "501")
        ),
        (["move", "--drop-completed", "--status-table", ""], "--drop-completed", "no table"),
    ],
)
def test_what_is_refused(arguments: list[str], named: str, allowed: str) -> None:
    said = refused(*arguments)
    (line,) = [line for line in said.splitlines() if named in line and allowed in line]
    assert line


def test_variables_are_named_by_their_own_names() -> None:
    said = refused(QUEUE_URL="nonsense", DLQ_ARN="nonsense", AWS_REGION="a b")
    assert said.startswith("3 bad settings; nothing was called:")
    for name in ("QUEUE_URL='nonsense'", "DLQ_ARN='nonsense'", "AWS_REGION='a b'"):
        assert name in said


def test_no_queue_at_all() -> None:
    assert "QUEUE_URL: neither is set" in refused(QUEUE_URL="")


def test_all_problems_at_once(tmp_path: Path) -> None:
    with pytest.raises(BadSettingsError) as found:
        read(["mvoe", "--limit", "x", "--what"], {"ENV_FILE": str(tmp_path / "absent")})
    said = str(found.value)
    assert said.startswith("5 bad settings")
    for part in ("'mvoe'", "--limit='x'", "--what", "ENV_FILE", "QUEUE_URL"):
        assert part in said


def test_help_tells_every_flag_and_code(capsys: Any) -> None:
    with pytest.raises(SystemExit) as ended:
        read(["--help"], dict(ENV))
    assert ended.value.code == 0
    said = capsys.readouterr().out
    for flag in FLAGS:
        assert f"--{flag.name}" in said
    assert "130" in said


@pytest.mark.parametrize("path", ["/", "/dev/full"])
def test_the_journal_must_be_a_file_that_can_be_read_back(path: str) -> None:
    assert f"JOURNAL_PATH={path!r}: must be a regular file" in refused(JOURNAL_PATH=path)
