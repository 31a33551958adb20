"""More options in a real browser: opened, filled in, said in words, and sent."""

import re
from datetime import datetime, timedelta

import pytest
from playwright.sync_api import Locator, Page, expect

from app.core.permissions import Role
from tests.browser.conftest import Watch
from tests.browser.license_tab.stage import MOSCOW, Place, button, groups, keys, person, ttl


def preview(page: Page) -> str:
    expect(page.locator("#ttl-preview")).not_to_have_class(re.compile("is-unknown"))
    return page.locator("#ttl-preview p").first.inner_text()


def textbox(page: Page, name: str) -> Locator:
    return page.get_by_role("textbox", name=name, exact=True)


def tomorrow_there(page: Page) -> str:
    """This time tomorrow, as a datetime-local field has it."""
    in_a_day = "Date.now() + 864e5 - new Date().getTimezoneOffset() * 6e4"
    return page.evaluate(f"new Date({in_a_day}).toISOString().slice(0, 16)")


def test_the_plain_path_is_as_short_as_before(at_tab: Page) -> None:
    expect(textbox(at_tab, "Reason")).to_be_hidden()
    button(at_tab, "Generate key").click()
    expect(button(at_tab, "Copy")).to_be_focused()


@pytest.mark.browser_context_args(**MOSCOW)
def test_options_are_said_in_words_and_carried(at_tab: Page, place: Place) -> None:
    partner = person(place.portal, Role.PARTNER)
    button(at_tab, "More options").click()
    expect(button(at_tab, "More options")).to_have_attribute("aria-expanded", "true")
    textbox(at_tab, "Reason").fill("Printer down")
    at_tab.get_by_role("combobox", name="For", exact=True).fill(partner)
    at_tab.get_by_role("spinbutton", name="Sign-ins").fill("1")
    at_tab.get_by_role("checkbox", name="Only the first machine").check()
    at_tab.get_by_role("combobox", name="Use within").select_option(label="15 min")
    expect(at_tab.locator("#ttl-preview")).to_contain_text("Not used by")
    assert preview(at_tab).startswith(
        f"{partner} may sign in once, from the first machine they use, until "
    )
    button(at_tab, "Generate key").click()
    expect(button(at_tab, "Copy")).to_be_focused()
    expect(at_tab.locator("#keys")).to_contain_text(partner)
    expect(at_tab.locator("#keys")).to_contain_text("0 of 1 used")
    expect(textbox(at_tab, "Reason")).to_have_value("")
    at_tab.reload()
    expect(textbox(at_tab, "Reason")).to_be_visible()  # remembered
    button(at_tab, "Generate another like it").click()
    expect(textbox(at_tab, "Reason")).to_have_value("Printer down")


def test_an_end_takes_the_place_of_the_ttl_and_gives_it_back(at_tab: Page) -> None:
    button(at_tab, "More options").click()
    ttl(at_tab).select_option(label="3 hrs")
    tomorrow = tomorrow_there(at_tab)
    textbox(at_tab, "Ends").fill(tomorrow)
    expect(ttl(at_tab)).to_have_value("until")
    expect(at_tab.locator("#ttl-preview")).to_contain_text("may sign in until")
    textbox(at_tab, "Ends").fill("")
    expect(ttl(at_tab)).to_have_value("3h")
    expect(at_tab.locator("#ttl-preview")).to_contain_text("This key will work until")
    textbox(at_tab, "Ends").fill(tomorrow)
    ttl(at_tab).select_option(label="1 day")
    expect(textbox(at_tab, "Ends")).to_have_value("")
    expect(at_tab.locator("#ttl-preview")).to_contain_text("1 day from now")


def test_a_refused_option_stands_beside_its_field_with_everything_kept(
    at_tab: Page, watch: Watch
) -> None:
    watch.expect(422)
    button(at_tab, "More options").click()
    textbox(at_tab, "Ticket").fill("T-7")
    at_tab.get_by_role("combobox", name="For", exact=True).fill("nobody@example.com")
    button(at_tab, "Generate key").click()
    recipient = at_tab.get_by_role("combobox", name="For", exact=True)
    expect(recipient).to_have_attribute("aria-invalid", "true")
    expect(recipient).to_have_accessible_description(re.compile("There is nobody"))
    expect(textbox(at_tab, "Ticket")).to_have_value("T-7")


@pytest.mark.browser_context_args(**MOSCOW)
def test_a_start_is_that_of_the_viewers_clock(at_tab: Page, place: Place) -> None:
    button(at_tab, "More options").click()
    starts = tomorrow_there(at_tab)
    textbox(at_tab, "Starts").fill(starts)
    button(at_tab, "Generate key").click()
    expect(button(at_tab, "Copy")).to_be_focused()
    [scheduled] = groups(at_tab)["Scheduled"]
    assert starts[-5:] in scheduled
    assert keys(at_tab).input_value() in scheduled
    button(at_tab, "Generate another like it").click()
    expect(textbox(at_tab, "Starts")).to_have_value(starts)
    at_tab.locator("[aria-controls=menu-user]").click()
    button(at_tab, "UTC").click()
    three_hours_less = str(datetime.fromisoformat(starts) - timedelta(hours=3))
    expect(textbox(at_tab, "Starts")).to_have_value(three_hours_less.replace(" ", "T")[:16])


def test_a_key_is_extended_in_the_dialog(at_tab: Page, place: Place, watch: Watch) -> None:
    watch.expect(422)
    key_id = place.issue()
    at_tab.reload()
    button(at_tab, "More options").click()
    textbox(at_tab, "Ticket").fill("T-8")
    button(at_tab, "Extend").click()
    dialog = at_tab.get_by_role("dialog")
    new_end = dialog.get_by_role("textbox", name="New end")
    expect(new_end).to_be_focused()
    dialog.get_by_role("button", name="Extend key").click()
    expect(new_end).to_have_attribute("aria-invalid", "true")
    tomorrow = tomorrow_there(at_tab)
    new_end.fill(tomorrow)
    dialog.get_by_role("textbox", name="Reason").fill("Not done")
    dialog.get_by_role("button", name="Extend key").click()
    expect(dialog).to_be_hidden()
    expect(at_tab.locator("#keys")).to_contain_text(re.compile("23 hr|1 day"))
    assert keys(at_tab).input_value() == key_id
    expect(textbox(at_tab, "Ticket")).to_have_value("T-8")
