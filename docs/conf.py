"""How Sphinx builds these pages: ``tox run -e docs``."""

from __future__ import annotations

import sys
from importlib.metadata import version as version_of
from pathlib import Path

import django
from django.conf import settings

sys.path.insert(0, str(Path(__file__).parent.parent))

# The reference is read from docstrings, and models need an app registry to be imported.
settings.configure(
    SECRET_KEY="only-for-the-docs",  # noqa: S106  # protects nothing
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django_sf_oauth"],
    SALESFORCE_OAUTH={"CLIENT_ID": "3MVG9.docs", "CLIENT_SECRET": "only-for-the-docs"},
)
django.setup()

project = "django-sf-oauth"
author = "The django-sf-oauth maintainers"
project_copyright = "2026, the django-sf-oauth maintainers"
release = version_of("django-sf-oauth")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
default_role = "code"  # what the docstrings put between single backticks

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

add_module_names = False
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
napoleon_use_ivar = True
napoleon_use_rtype = False

html_theme = "furo"
html_title = "django-sf-oauth"
html_static_path = ["_static"]
html_css_files = ["pages.css"]
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0b5cab", "color-brand-content": "#0b5cab"},
    "dark_css_variables": {"color-brand-primary": "#78b0fd", "color-brand-content": "#78b0fd"},
}
