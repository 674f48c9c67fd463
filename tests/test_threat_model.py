"""The promises of .github/SECURITY.md, and the tests that show each; here are also those that need
several rooms of the relay."""

import ast
import asyncio
import json
import re
from collections import Counter
from pathlib import Path

from tests.addons.accounts.test_gateway import ADA
from tests.addons.exchange.test_addon import HELLO, says
from tests.addons.gateway import gateway
from tests.addons.ingress.relays import own_address
from tests.addons.proxy import Call, Client, bounded, upstream
from tests.addons.replay.support import relay_with_commands
from tests.pages.markdown import ROOT, Page

PAGE = Page(".github/SECURITY.md")
PROMISE = re.compile(r"^\| ([A-Z]\d+) \| (.+?) \| (.+?) \|$", re.MULTILINE)
SECTIONS = {
    "A page in the user's browser": "B",
    "Another user of the machine": "U",
    "A neighbour in the network": "L",
    "A hostile provider": "P",
    "A client of a shared relay": "C",
    "A poisoned capture": "F",
    "A poisoned case": "K",
    "Another host": "H",
}
HERE = "tests/test_threat_model.py"
ADDONS, TRANSLATE = "tests/addons", "tests/translate"

# Number of a promise → file → its tests that show it
TESTS_OF_PROMISES: dict[str, dict[str, list[str]]] = {
    "B1": {
        f"{ADDONS}/ingress/test_access.py": [
            "test_own_port_answers_for_trusted_hosts_alone",
            "test_pages_of_other_hosts_are_refused",
        ],
        f"{ADDONS}/ingress/test_addon.py": ["test_own_port_through_the_proxy_is_the_own_port"],
    },
    "B2": {
        f"{ADDONS}/endpoints/test_auth.py": [
            "test_page_of_another_site_cannot_log_out",
            "test_page_of_another_site_cannot_start_a_login",
            "test_pages_of_other_origins_change_nothing",
        ],
        f"{ADDONS}/dashboard/test_handlers.py": [
            "test_pages_of_other_sites_can_neither_read_nor_post"
        ],
    },
    "B3": {
        f"{ADDONS}/ingress/test_cors.py": [
            "test_trusted_pages_may_call_the_model_routes",
            "test_other_pages_and_other_paths_get_no_cors_headers",
        ],
    },
    "B4": {
        f"{ADDONS}/dashboard/test_handlers.py": [
            "test_page_and_files_come_with_protective_headers",
            "test_page_inserts_names_of_others_as_text_only",
            "test_page_loads_nothing_from_elsewhere_and_has_no_inline_code",
        ],
        f"{ADDONS}/dashboard/test_client_snippets.py": [
            "test_model_name_cannot_break_out_of_its_quotes"
        ],
        "tests/browser/test_dashboard.py": ["test_model_name_with_markup_stays_text"],
    },
    "B5": {
        f"{ADDONS}/accounts/test_login_callback.py": [
            "test_wrong_state_does_not_end_the_login",
            "test_other_paths_and_methods_are_refused",
            "test_page_has_no_scripts_and_is_accessible",
            "test_error_of_openai_is_shown_as_text",
        ],
        f"{ADDONS}/accounts/test_login.py": ["test_code_of_another_verifier_is_refused"],
    },
    "U1": {
        "tests/test_written_files.py": ["test_every_file_is_private_with_any_umask"],
        f"{ADDONS}/test_private_files.py": [
            "test_every_missing_folder_is_private",
            "test_every_way_to_write_makes_a_private_file",
        ],
        f"{ADDONS}/storage/test_sqlite_file.py": [
            "test_file_its_folder_and_its_journals_are_private"
        ],
    },
    "U2": {
        f"{ADDONS}/accounts/test_vault.py": [
            "test_keyring_holds_the_tokens_and_the_file_only_marks_them",
            "test_without_a_keyring_logins_go_to_a_file",
        ],
        f"{ADDONS}/accounts/test_locked_file.py": [
            "test_file_and_folder_are_private_whatever_the_umask",
            "test_secret_that_others_can_read_is_closed",
        ],
    },
    "U3": {
        f"{ADDONS}/ingress/test_access.py": [
            "test_own_port_needs_the_client_key",
            "test_relayed_requests_need_the_client_key",
        ],
        f"{ADDONS}/dashboard/test_handlers.py": [
            "test_client_key_guards_everything_but_the_empty_page"
        ],
        f"{ADDONS}/endpoints/test_stored_responses.py": [
            "test_stored_responses_need_the_client_key"
        ],
    },
    "U4": {
        f"{ADDONS}/dashboard/test_addon.py": ["test_inner_port_needs_the_secret_of_the_relay"],
        "tests/browser/test_dashboard.py": [
            "test_dashboard_in_mitmweb_needs_its_login_and_links_to_flows"
        ],
        f"{ADDONS}/test_start_report.py": [
            "test_a_report_comes_back_from_its_json_without_the_token"
        ],
    },
    "U5": {
        "tests/test_written_files.py": ["test_private_relay_writes_nothing"],
        f"{ADDONS}/config/test_option_types.py": [
            "test_private_relay_has_no_folder_and_no_storage"
        ],
    },
    "U6": {
        f"{ADDONS}/accounts/test_codex_auth_file.py": [
            "test_import_says_the_same_of_all_files_that_are_no_login"
        ],
    },
    "U7": {
        f"{ADDONS}/test_port_holder.py": ["test_port_of_another_user_is_not_ours"],
        f"{ADDONS}/test_launch.py": ["test_relay_knows_itself_from_another_one_on_its_port"],
        "tests/cli/test_running_relay.py": [
            "test_relay_of_another_user_is_used_only_if_it_is_trusted",
            "test_other_relay_on_its_port_is_not_the_one_that_was_started",
        ],
    },
    "L1": {
        f"{ADDONS}/ingress/test_addon.py": [
            "test_other_machines_are_refused_before_a_byte_is_read"
        ],
        f"{ADDONS}/ingress/test_access.py": [
            "test_remote_clients_are_those_of_other_machines",
            "test_open_connection_does_not_outlive_the_key",
        ],
    },
    "L2": {
        f"{ADDONS}/ingress/test_addon.py": [
            "test_other_machines_with_a_key_reach_the_relay_and_openai_alone",
            "test_other_machines_need_a_key_for_tunnels_to_openai",
            "test_key_of_a_tunnel_counts_for_the_requests_in_it",
        ],
        f"{ADDONS}/ingress/test_access.py": ["test_open_connection_does_not_outlive_the_key"],
        f"{ADDONS}/ingress/test_client_keys.py": [
            "test_anything_else_is_no_token",
            "test_key_of_a_tunnel_lasts_as_long_as_the_setting",
        ],
        f"{ADDONS}/endpoints/test_own_port.py": [
            "test_health_tells_the_upstream_to_holders_of_a_key_only"
        ],
    },
    "L3": {
        f"{ADDONS}/ingress/test_addon.py": [
            "test_other_machines_with_a_key_reach_the_relay_and_openai_alone",
            "test_other_machines_need_a_key_for_tunnels_to_openai",
            "test_plain_requests_of_other_machines_to_openai_need_a_key",
            "test_tunnel_to_the_relay_itself_is_refused",
        ],
    },
    "L4": {
        f"{ADDONS}/ingress/test_request_limits.py": [
            "test_clients_of_other_machines_without_a_key_send_no_body",
            "test_large_heads_are_refused_before_the_key_is_asked_for",
            "test_an_endless_head_takes_little_memory",
        ],
        f"{ADDONS}/ingress/test_connection_limits.py": [
            "test_idle_connections_are_closed",
            "test_connections_past_the_limit_are_closed_with_one_line_in_the_log",
            "test_slow_heads_and_bodies_are_closed",
        ],
    },
    "L5": {HERE: ["test_other_machines_import_no_file"]},
    "P1": {
        f"{ADDONS}/routing/test_target.py": [
            "test_openai_keys_never_reach_another_provider",
            "test_no_header_of_the_client_goes_up",
            "test_key_of_a_proxied_request_was_meant_for_openai",
        ],
        f"{ADDONS}/exchange/test_headers.py": ["test_header_of_another_account_stays_here"],
        f"{ADDONS}/endpoints/test_models.py": [
            "test_headers_of_the_client_do_not_reach_the_upstream"
        ],
    },
    "P2": {
        f"{ADDONS}/routing/test_target.py": ["test_provider_key_never_goes_to_another_host"],
        f"{ADDONS}/test_http_client.py": ["test_request_names_the_relay_and_follows_no_redirect"],
        HERE: ["test_redirect_of_a_provider_is_not_followed"],
    },
    "P3": {
        f"{ADDONS}/exchange/test_leaks.py": [
            "test_key_that_an_upstream_repeats_leaves_the_relay_nowhere"
        ],
        f"{ADDONS}/test_secret_mask.py": ["test_key_is_masked_however_it_is_written_and_cut"],
        f"{ADDONS}/transport/test_upstream_mask.py": [
            "test_head_and_trailers_are_masked",
            "test_errors_are_masked",
            "test_keys_of_all_attempts_are_masked",
        ],
    },
    "P4": {
        f"{ADDONS}/transport/test_reply_body.py": [
            "test_bomb_is_bounded",
            "test_reply_costs_a_bounded_amount_of_memory",
            "test_reply_past_its_limit_ends_once_and_its_connection_is_closed",
        ],
        f"{ADDONS}/transport/test_connections.py": ["test_head_past_its_limit_ends_the_connection"],
        f"{ADDONS}/transport/test_heartbeat.py": [
            "test_silence_in_mid_stream_ends_the_reply",
            "test_upstream_that_only_pings_is_given_up",
        ],
    },
    "P5": {
        "tests/test_linear.py": [
            "test_work_grows_as_the_text_does",
            "test_every_pattern_withstands_what_it_looks_for",
        ],
    },
    "P6": {
        f"{TRANSLATE}/test_laws.py": [
            "test_any_bytes_make_a_well_formed_reply",
            "test_damaged_reply_ends_well_formed",
            "test_interrupted_reply_ends_once_and_failed",
        ],
        f"{TRANSLATE}/reply/test_responses_to_responses.py": [
            "test_any_events_make_a_well_formed_reply",
            "test_event_whose_type_is_no_name_is_dropped",
        ],
    },
    "P7": {
        f"{TRANSLATE}/wire/test_printable.py": [
            "test_every_hidden_character_of_unicode_is_escaped",
            "test_what_cannot_be_seen_becomes_an_escape",
        ],
        f"{ADDONS}/observe/test_exchange_record.py": ["test_odd_names_are_shown_in_printable_form"],
        f"{ADDONS}/ingress/test_local_reply.py": [
            "test_values_are_printable_ascii_of_limited_length"
        ],
        f"{ADDONS}/test_start_report.py": [
            "test_a_providers_texts_cannot_control_the_terminal",
        ],
    },
    "P8": {
        f"{TRANSLATE}/mappings/test_reasoning.py": [
            "test_signature_never_goes_to_another_provider"
        ],
        f"{TRANSLATE}/state/test_reasoning_memory.py": [
            "test_reasoning_that_another_provider_sealed_is_dropped_and_reported"
        ],
    },
    "P9": {
        "tests/test_fuzz.py": [
            "test_case_that_was_found_stays_mended",
            "test_first_examples_pass",
        ],
        f"{TRANSLATE}/mappings/test_outcome.py": [
            "test_usage_that_is_no_object_is_noted",
            "test_usage_of_each_provider_is_counted",
        ],
        f"{ADDONS}/exchange/test_closing.py": [
            "test_failing_step_is_logged_with_its_name_and_the_others_run"
        ],
    },
    "C1": {
        f"{ADDONS}/endpoints/test_stored_responses.py": [
            "test_each_client_key_has_its_own_responses"
        ],
        f"{ADDONS}/storage/test_response_store.py": [
            "test_owners_do_not_find_each_others_responses",
            "test_id_cannot_name_another_owner",
        ],
        f"{TRANSLATE}/state/test_item_reference.py": [
            "test_keys_lead_from_a_reference_to_the_item_of_the_same_owner_only"
        ],
    },
    "C2": {
        f"{ADDONS}/storage/test_reasoning_memory.py": ["test_owners_do_not_share"],
        f"{TRANSLATE}/state/test_reasoning_memory.py": ["test_owners_do_not_share_reasoning"],
    },
    "C3": {
        f"{ADDONS}/dashboard/test_handlers.py": [
            "test_named_key_sees_its_own_exchanges_and_totals_only"
        ],
        f"{ADDONS}/observe/test_usage_totals.py": ["test_each_client_has_totals_of_its_own"],
    },
    "C4": {
        f"{ADDONS}/endpoints/test_auth.py": ["test_all_paths_need_the_key_of_the_admin"],
        HERE: ["test_metrics_are_for_the_admin_only"],
    },
    "C5": {
        f"{ADDONS}/ingress/test_client_keys.py": [
            "test_key_that_comes_by_proxy_is_taken_from_the_request"
        ],
        f"{ADDONS}/routing/test_target.py": ["test_client_key_of_the_relay_does_not_go_up"],
        f"{ADDONS}/endpoints/test_stored_responses.py": ["test_client_key_does_not_go_to_openai"],
        f"{ADDONS}/ingress/test_session_cookie.py": [
            "test_cookie_is_valid_for_its_time_its_key_and_its_process"
        ],
        f"{ADDONS}/endpoints/test_auth.py": [
            "test_list_of_accounts_has_no_secrets",
            "test_identity_masks_keys_of_a_users_table",
        ],
    },
    "C6": {
        f"{ADDONS}/exchange/test_concurrency.py": [
            "test_exchanges_past_the_limit_get_a_429",
            "test_a_client_is_known_by_its_key_or_address",
        ],
        "tests/test_bystander.py": ["test_a_bystanders_chunk_does_not_wait_for_a_large_request"],
    },
    "C7": {
        f"{ADDONS}/ingress/test_request_limits.py": [
            "test_a_bomb_takes_little_memory",
            "test_a_gigabyte_takes_little_memory",
            "test_all_other_calls_have_small_bodies",
        ],
        f"{ADDONS}/ingress/test_body_budget.py": [
            "test_a_body_without_room_gets_a_429_and_is_dropped",
            "test_bodies_count_decompressed",
        ],
        f"{TRANSLATE}/wire/test_envelope.py": [
            "test_decompression_bomb_is_not_unpacked",
            "test_many_small_bombs_hold_no_more_than_the_request_allows",
        ],
    },
    "C8": {
        "tests/test_fuzz.py": [
            "test_case_that_was_found_stays_mended",
            "test_first_examples_pass",
        ],
        f"{ADDONS}/exchange/test_addon.py": ["test_a_bad_request_goes_nowhere"],
    },
    "C9": {
        f"{ADDONS}/ingress/test_client_keys.py": [
            "test_admin_is_named_so_or_the_only_key_without_a_name"
        ],
    },
    "F1": {
        f"{ADDONS}/replay/test_check.py": [
            "test_poisoned_capture_is_read_without_a_traceback",
            "test_capture_is_checked_without_contact_to_any_host",
        ],
    },
    "F2": {
        f"{ADDONS}/views/test_base.py": [
            "test_bomb_in_a_capture_is_not_unpacked",
            "test_large_body_is_cut_and_the_page_says_so",
            "test_many_entries_and_events_are_cut_and_the_page_says_so",
        ],
        f"{ADDONS}/replay/test_retranslate.py": [
            "test_bomb_in_a_capture_is_not_unpacked",
            "test_diff_of_many_lines_begins_at_the_first_difference",
        ],
    },
    "F3": {
        f"{ADDONS}/views/test_base.py": [
            "test_any_json_is_shown",
            "test_pages_have_no_control_characters",
        ],
        "tests/browser/test_mitmweb.py": ["test_markup_in_a_capture_stays_text"],
    },
    "F4": {
        f"{ADDONS}/exchange/test_resend.py": ["test_copy_has_the_request_without_its_credentials"],
        f"{ADDONS}/replay/test_commands.py": [
            "test_what_a_capture_calls_an_exchange_is_sent_to_models_only",
            "test_replay_of_a_capture_changes_nothing_in_the_relay",
        ],
    },
    "F5": {
        f"{ADDONS}/exchange/test_resend.py": [
            "test_key_in_the_metadata_of_a_file_makes_no_flow_a_resent_one"
        ],
        f"{ADDONS}/exchange/test_addon.py": ["test_a_flow_that_is_read_again_is_left_alone"],
        f"{ADDONS}/endpoints/test_addon.py": [
            "test_flows_that_are_refused_or_read_from_a_file_are_left_alone"
        ],
    },
    "F6": {
        f"{ADDONS}/ingress/test_redaction.py": [
            "test_no_secret_is_in_any_file_or_log",
            "test_no_hook_or_option_shows_a_secret",
        ],
        f"{ADDONS}/exchange/test_addon.py": ["test_the_key_goes_up_but_is_nowhere_on_the_flow"],
        f"{ADDONS}/endpoints/test_auth.py": ["test_flows_show_neither_accounts_nor_login_codes"],
    },
    "K1": {
        f"{TRANSLATE}/test_cases.py": [
            "test_poisoned_case_is_not_read",
            "test_poisoned_case_writes_its_own_files_only",
        ],
    },
    "K2": {"tests/architecture/test_arrows.py": ["test_trees_keep_the_rule"]},
    "K3": {
        f"{ADDONS}/replay/test_export_case.py": [
            "test_poisoned_record_becomes_one_line_of_text",
            "test_request_hides_whatever_redaction_hides",
            "test_stream_hides_whatever_redaction_hides_wherever_it_is_cut",
            "test_other_replies_hide_whatever_redaction_hides",
        ],
    },
    "H1": {
        f"{ADDONS}/ingress/test_addon.py": [
            "test_tls_of_other_hosts_passes_untouched",
            "test_tls_of_openais_hosts_is_decrypted_without_contact",
        ],
    },
    "H2": {
        f"{ADDONS}/ingress/test_routes.py": ["test_other_calls_of_codex_are_isolated"],
        f"{ADDONS}/endpoints/test_codex_calls.py": ["test_isolation_stops_other_calls_of_codex"],
    },
}


# The page and the table


def test_each_promise_of_the_page_has_a_test_and_each_number_is_on_the_page() -> None:
    numbers = [number for number, _, _ in PROMISE.findall(PAGE.text)]
    assert not [number for number, count in Counter(numbers).items() if count > 1]
    assert list(TESTS_OF_PROMISES) == numbers
    assert all(names for files in TESTS_OF_PROMISES.values() for names in files.values())


def test_sections_have_their_promises_and_what_is_not_promised() -> None:
    for title, letter in SECTIONS.items():
        section = PAGE.text.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]
        numbers = [number for number, _, _ in PROMISE.findall(section)]
        assert numbers == [f"{letter}{place}" for place in range(1, len(numbers) + 1)]
        assert numbers and "\nNot promised:\n\n- " in section, title
        rows = [row for row in section.splitlines() if row.startswith("|")]
        assert len(rows) == len(numbers) + 2, title


def test_every_named_test_is_there() -> None:
    """pytest collects every function of a test file whose name begins with `test_`."""
    for files in TESTS_OF_PROMISES.values():
        for file, names in files.items():
            module = ast.parse((ROOT / file).read_text())
            functions = (ast.FunctionDef, ast.AsyncFunctionDef)
            tests = {node.name for node in module.body if isinstance(node, functions)}
            assert set(names) <= tests, file
            assert all(name.startswith("test_") for name in names)


# Tests that are nowhere else


@bounded
async def test_other_machines_import_no_file(tmp_path: Path) -> None:
    own_host = own_address()
    options = {"relay_client_key": "k-1", "relay_hosts": own_host, "mode": ["regular@0.0.0.0:0"]}
    body = json.dumps({"path": str(tmp_path / "logins")}).encode()
    async with gateway(tmp_path, ADA, **options) as relay:
        for host, status in ((own_host, 403), ("127.0.0.1", 400)):
            client = Client(*await asyncio.open_connection(host, relay.port))
            headers = {"host": host, "authorization": "Bearer k-1"}
            assert (await client.ask("/auth/import", body, **headers)).status == status
            client.writer.close()
            await client.writer.wait_closed()


@bounded
async def test_metrics_are_for_the_admin_only(tmp_path: Path) -> None:
    async with gateway(tmp_path, relay_client_key="laptop:k-1,admin:k-2") as relay:
        for key, status in (("k-1", 403), ("k-2", 200)):
            answer = await relay.get("/metrics", authorization=f"Bearer {key}")
            assert answer.status == status


@bounded
async def test_redirect_of_a_provider_is_not_followed() -> None:
    async with upstream(says("Harmed.")) as other:
        target = f"http://127.0.0.1:{other.port}/v1/chat/completions"

        def redirect(call: Call) -> None:
            call.reply(307, location=target)

        options = {"relay_api_key": "k-relay", "relay_retries": "0"}
        async with (
            relay_with_commands(redirect, **options) as (server, port, _, _),
            Client.connect(port) as client,
        ):
            answer = await client.ask("/v1/responses", json.dumps(HELLO).encode())
        assert answer.status >= 400 and b"Harmed" not in answer.body
        assert len(server.seen) == 1 and not other.connections
