"""Forms of billing's pages."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.kernel.errors import DomainError
from accounts.selectors import organisations
from billing.http import YUAN
from market.kernel.text import micros_of


class TopUpForm(forms.Form):
    """A transfer from the bank's statement."""

    organisation = forms.ChoiceField(label=gettext_lazy("Buyer"), widget=forms.Select(attrs={"class": "select"}))
    amount = forms.RegexField(
        YUAN, label=gettext_lazy("Amount"), max_length=13, strip=True,
        error_messages={"invalid": gettext_lazy("An amount in yuan with at most two decimals, such as 5000.00.")},
        widget=forms.TextInput(attrs={"class": "input", "inputmode": "decimal", "autocomplete": "off"}),
    )  # fmt: skip
    reference = forms.CharField(
        label=gettext_lazy("Bank's reference"), max_length=80,
        help_text=gettext_lazy("As the bank prints it. The same reference is credited once."),
        widget=forms.TextInput(attrs={"class": "input", "autocomplete": "off"}),
    )  # fmt: skip

    def __init__(self, data: Any = None) -> None:
        super().__init__(data)
        field = self.fields["organisation"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [(str(one.id), one.name) for one in organisations.buyers()]

    def transfer(self) -> dict[str, Any]:
        """Arguments of `services.topups.record`."""
        data = self.cleaned_data
        return {
            "organisation_id": UUID(data["organisation"]),
            "amount_micros": micros_of(data["amount"]),
            "reference": data["reference"],
        }

    def refuse(self, error: DomainError) -> None:
        """Say in the reader's words what the services refused."""
        known = {
            "top_up_differs": ("reference", _("This reference was recorded before with another amount or buyer.")),
            "bad_amount": ("amount", _("A transfer is a positive amount in whole fen.")),
            "bad_reference": ("reference", _("A bank reference has no control characters.")),
        }
        self.add_error(*known.get(error.code, (None, _("This value is not possible."))))
