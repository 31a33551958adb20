"""The codes of refusals and of ends: each with words of its own, and the same on the other side."""

from pathlib import Path

import pytest

from app.agents.codes import EndCause, EndCode, RefusalCode
from app.api.schemas import SignInBody
from app.browser_agent.forms import AgentSignInForm

CLIENTS = Path(__file__).resolve().parents[2] / "clients" / "src"


def test_every_code_has_words_of_its_own() -> None:
    assert len({code.sentence for code in RefusalCode}) == len(RefusalCode)
    assert len({cause.sentence for cause in EndCause}) == len(EndCause)
    assert len({cause.wording for cause in EndCause}) == len(EndCause)


def test_every_refusal_of_a_sign_in_is_about_one_of_its_fields() -> None:
    about = {code.field for code in RefusalCode if code is not RefusalCode.CONFIGURATION_READ_ONLY}
    assert about <= SignInBody.model_fields.keys()
    assert all(hasattr(AgentSignInForm, field) for field in about)


def test_the_agent_is_told_the_cause_of_an_end_if_there_is_a_code_for_it() -> None:
    for cause in EndCause:
        own = cause.value if cause.value in set(EndCode) else EndCode.SESSION_ENDED
        assert cause.code == own


def test_agents_from_the_command_line_know_every_code_of_an_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(CLIENTS)
    from rolling_window_client import op_agent, session

    assert op_agent.STATUS_OF_END.keys() == {*EndCode, "signed_out"}
    assert session._SENTENCES.keys() == {*EndCode, "signed_out"}
