"""What a user asks of a measurement reaches the agent as it was asked, or is refused."""

import argparse
import json

import pytest

from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.measure.settings import (
    DEFAULTS,
    MeasureSettings,
    add_settings,
    decode_settings,
    list_arguments,
    list_chosen,
)


def parse(arguments):
    parser = argparse.ArgumentParser()
    add_settings(parser)
    return parser.parse_args(arguments).settings


@pytest.mark.parametrize(
    "settings",
    [DEFAULTS, MeasureSettings(latency_samples=7), MeasureSettings(latency_samples=10**9, latency_limit_s=0.001)],
)
def test_settings_come_out_of_the_arguments_as_they_went_in(settings):
    assert parse(list_arguments(settings)) == settings


def test_only_what_was_asked_for_is_sent_so_that_an_agent_of_another_version_understands():
    assert list_arguments(DEFAULTS) == []
    assert list_chosen(MeasureSettings(latency_samples=7)) == {"latency_samples": 7}
    assert list_arguments(MeasureSettings(latency_samples=7)) == ["--settings", '{"latency_samples": 7}']


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ('{"power_samples": 6}', "power_samples"),
        ('{"latency_samples": "many"}', "latency_samples"),
        ('{"latency_samples": 1.5}', "latency_samples"),
        ('{"latency_samples": true}', "latency_samples"),
        ('{"latency_samples": null}', "latency_samples"),
        ('{"latency_samples": 0}', "latency_samples"),
        ('{"latency_samples": -1}', "latency_samples"),
        ('{"latency_limit_s": 0}', "latency_limit_s"),
        ('{"latency_limit_s": 1e999}', "--settings"),
        ('{"latency_limit_s": NaN}', "--settings"),
        ('{"latency_samples": 7, "latency_samples": 8}', "--settings"),
        ("[]", "--settings"),
        ("7", "--settings"),
        ("", "--settings"),
        ("\udcff", "--settings"),
    ],
)
def test_settings_that_the_agent_does_not_have_or_cannot_use_are_exit_2_and_say_which(text, where):
    with pytest.raises(ToolchainError) as caught:
        decode_settings(text)
    error = caught.value
    assert error.code is ExitCode.USAGE
    assert where in f"{error.where} {error.found}"
    assert error.fix


def test_a_setting_that_is_right_is_taken():
    assert decode_settings('{"latency_limit_s": 3}') == MeasureSettings(latency_limit_s=3.0)
    assert decode_settings(json.dumps({})) == DEFAULTS


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf")])
def test_no_record_holds_a_number_with_which_nothing_can_be_measured(value):
    with pytest.raises(ToolchainError) as caught:
        MeasureSettings(latency_limit_s=value)
    assert (caught.value.code, caught.value.where) == (ExitCode.USAGE, "latency_limit_s")
