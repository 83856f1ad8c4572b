"""Forms of metering's pages."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.kernel import ids
from accounts.kernel.errors import DomainError
from metering_ingest.kernel.files import MAX_FILE_BYTES
from metering_ingest.kernel.receipts import MAX_BYTES
from metering_ingest.services.disputes import MOST_NOTE
from metering_ingest.web import labels

_ST = re.compile(r"[0-9]{1,12}(\.[0-9]{1,6})?", re.ASCII)


class _Form(forms.Form):
    def refuse(self, error: DomainError) -> None:
        """Say in the reader's words what the services refused."""
        self.add_error(None, str(labels.REFUSALS.get(error.code, _("This is not possible."))))


class ReceiptsForm(_Form):
    """A CSV of receipts."""

    file = forms.FileField(
        label=gettext_lazy("CSV file"), max_length=200,
        help_text=gettext_lazy(
            "Columns: request_id,prompt,cached,completion,time. UTF-8, at most 5,000 requests and 1 MiB. The same file "
            "again changes nothing."
        ),
        widget=forms.ClearableFileInput(attrs={"class": "input", "accept": ".csv,text/csv"}),
    )  # fmt: skip

    def clean_file(self) -> bytes:
        """The file's bytes."""
        file = self.cleaned_data["file"]
        if file.size > MAX_BYTES:
            raise forms.ValidationError(_("A file has at most 1 MiB."))
        return bytes(file.read())

    def refuse(self, error: DomainError) -> None:
        """Name the line that is wrong."""
        if error.code == "bad_receipts":
            line, field = error.details.get("line", 1), error.details.get("field", "")
            said = _("Line %(line)d, %(field)s: not as needed.") if field else _("Line %(line)d: not as needed.")
            self.add_error("file", said % {"line": line, "field": field})
        else:
            super().refuse(error)


class BackfillForm(_Form):
    """A file of one organisation's records."""

    organisation = forms.CharField(
        label=gettext_lazy("Organisation"), max_length=40, strip=True,
        widget=forms.TextInput(attrs={"class": "input", "autocomplete": "off", "placeholder": "org_…"}),
        help_text=gettext_lazy("The id of the organisation (org_…). The records count as if it had sent them under a key."),
    )  # fmt: skip
    file = forms.FileField(
        label=gettext_lazy("File of records"), max_length=200,
        widget=forms.ClearableFileInput(attrs={"class": "input", "accept": ".ndjson,.jsonl,.json"}),
        help_text=gettext_lazy(
            "One record a line, or a JSON array; fields as at POST /api/v1/usage-records, without epoch and seq. At most "
            "200,000 records and 32 MiB."
        ),
    )  # fmt: skip
    reason = forms.CharField(
        label=gettext_lazy("Reason"), max_length=200, widget=forms.TextInput(attrs={"class": "input"})
    )

    def clean_organisation(self) -> Any:
        """Its id."""
        try:
            return ids.decode("org", self.cleaned_data["organisation"])
        except ids.BadId:
            raise forms.ValidationError(_("There is no such organisation.")) from None

    def clean_file(self) -> Any:
        """The file, not too large."""
        file = self.cleaned_data["file"]
        if file.size > MAX_FILE_BYTES:
            raise forms.ValidationError(_("A file has at most 32 MiB."))
        return file

    def arguments(self) -> dict[str, Any]:
        """Of `services.backfills.start`."""
        data = self.cleaned_data
        return {
            "raw": data["file"].read(),
            "name": data["file"].name,
            "organisation_id": data["organisation"],
            "reason": data["reason"],
        }

    def refuse(self, error: DomainError) -> None:
        """Name the line that is wrong."""
        if error.code == "bad_file":
            line = error.details.get("line", 0)
            said = (
                _("Line %(line)d is no record in JSON.") % {"line": line} if line else _("This is no file of records.")
            )
            self.add_error("file", said)
        else:
            super().refuse(error)


class NoteForm(_Form):
    """Words to a dispute."""

    note = forms.CharField(
        label=gettext_lazy("What you say"), max_length=MOST_NOTE,
        widget=forms.Textarea(attrs={"class": "input", "rows": 3}),
        help_text=gettext_lazy("Both parties and staff read it. Write no prompt or answer text here."),
    )  # fmt: skip


class DecisionForm(_Form):
    """The operator's decision."""

    credited = forms.CharField(
        label=gettext_lazy("Back to the buyer"), max_length=19, strip=True,
        widget=forms.TextInput(attrs={"class": "input", "inputmode": "decimal", "autocomplete": "off"}),
    )  # fmt: skip
    amend = forms.BooleanField(
        label=gettext_lazy("Take over the agent's counts where the gateway counted less"), required=False
    )
    reason = forms.CharField(
        label=gettext_lazy("Reason"), max_length=MOST_NOTE,
        widget=forms.Textarea(attrs={"class": "input", "rows": 3}),
    )  # fmt: skip

    def clean_credited(self) -> int:
        """Micro-ST."""
        text = self.cleaned_data["credited"]
        if not _ST.fullmatch(text):
            raise forms.ValidationError(_("Standard tokens with at most six decimals, such as 1250.5."))
        return int(Decimal(text).scaleb(6))

    def arguments(self) -> dict[str, Any]:
        """Of `services.disputes.decide`."""
        data = self.cleaned_data
        return {"credited_micro_st": data["credited"], "amend": data["amend"], "reason": data["reason"]}
