import pytest
from markupsafe import Markup

from tests.hostile_texts import HOSTILE, find_raw
from toolchain.report.templates import open_templates


def render(template, value):
    return open_templates().from_string(template).render(value=value)


@pytest.mark.parametrize(
    "template",
    [
        "{{ value }}",
        '<p title="{{ value }}"></p>',
        "{% for item in [value] %}{{ item }}{% endfor %}",
        "{{ value | upper }}",
        "{{ [value] | join('; ') }}",
        "{{ value if true else '' }}",
    ],
)
def test_every_text_on_a_page_is_escaped_for_the_eye_and_for_html(template):
    page = render(template, HOSTILE)
    assert not find_raw(page)
    assert "\n" not in page
    assert "<script" not in page.lower()


def test_a_drawing_stays_markup_and_whole():
    path = "M " + 5000 * "1 " + "·"
    assert (
        render("{{ value }}", Markup(f'<svg d="{path}">\n\x1b\u202e</svg>')) == f'<svg d="{path}">\n\\x1b\\u202e</svg>'
    )


def test_numbers_stay():
    assert render("{{ '%.1f' | format(value) }} {{ value }}", 2.5) == "2.5 2.5"
