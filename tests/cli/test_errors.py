from scripts.cli.errors import CommandFailed


def test_failure_is_a_message_a_next_step_and_a_status() -> None:
    failure = CommandFailed("no relay runs", "start one", status=3)
    assert (str(failure), failure.next_step, failure.status) == ("no relay runs", "start one", 3)
    assert CommandFailed("no").status == 1
