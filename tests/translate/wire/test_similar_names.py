from translate.wire.similar_names import did_you_mean


def test_most_similar_name_is_suggested() -> None:
    assert did_you_mean("grok", ["kimi", "groq"]) == "did you mean groq?"
    assert did_you_mean("zzz", ["kimi", "groq"]) == ""
