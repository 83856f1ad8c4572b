"""Organisations, their members and keys, and the three tables of good manners: audit, idempotency, outbox."""

from __future__ import annotations

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from accounts.kernel import ids
from accounts.kernel.roles import ROLES


class Organisation(models.Model):
    """A party of the market."""

    class Kind(models.TextChoices):
        BUYER = "buyer", "Buyer"
        PROVIDER = "provider", "Provider"
        BOTH = "both", "Buyer and provider"
        OPERATOR = "operator", "Operator"

    class State(models.TextChoices):
        ACTIVE = "active", "Active"
        SUSPENDED = "suspended", "Suspended"

    id = models.UUIDField(primary_key=True, default=ids.new)
    kind = models.CharField(max_length=8, choices=Kind)
    name = models.CharField(max_length=120)
    legal_name = models.CharField(max_length=200, blank=True)
    tax_number = models.CharField(max_length=40, blank=True)
    address = models.CharField(max_length=200, blank=True)
    phone = models.CharField(max_length=40, blank=True)
    bank_name = models.CharField(max_length=120, blank=True)
    bank_account = models.CharField(max_length=60, blank=True)
    language = models.CharField(max_length=8, default="en")
    state = models.CharField(max_length=9, choices=State, default=State.ACTIVE)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            # A market has one operator: its invoices and its gateway need exactly one.
            models.UniqueConstraint(fields=["kind"], condition=Q(kind="operator"), name="organisation_one_operator"),
        ]


class UserManager(BaseUserManager["User"]):
    """Users are known by their address."""

    def create_user(self, email: str, password: str | None = None, **fields: object) -> User:
        """Make a user who signs in with this address."""
        user = self.model(email=self.normalize_email(email).lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: object) -> User:
        """Make a user who may do everything in the admin."""
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)


class User(AbstractBaseUser, PermissionsMixin):
    """A person who signs in."""

    id = models.UUIDField(primary_key=True, default=ids.new)
    email = models.EmailField(unique=True)
    name = models.CharField(max_length=120, blank=True)
    is_active = models.BooleanField(default=True)
    is_staff = models.BooleanField(default=False)

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    objects = UserManager()


class Member(models.Model):
    """A person's role in an organisation."""

    id = models.UUIDField(primary_key=True, default=ids.new)
    user = models.ForeignKey(User, models.PROTECT, related_name="memberships")
    organisation = models.ForeignKey(Organisation, models.PROTECT, related_name="members")
    role = models.CharField(max_length=8, choices=[(role, role.capitalize()) for role in ROLES])
    created_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "organisation"], name="member_once")]


class ApiKey(models.Model):
    """A program's key. Only the hash of its secret is stored."""

    id = models.UUIDField(primary_key=True, default=ids.new)
    organisation = models.ForeignKey(Organisation, models.PROTECT, related_name="keys")
    name = models.CharField(max_length=80)
    prefix = models.CharField(max_length=8, unique=True)
    secret_hash = models.BinaryField(max_length=32)
    scopes = ArrayField(models.CharField(max_length=20))
    created_by = models.ForeignKey(User, models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)
    last_used_at = models.DateTimeField(null=True)


class AuditEvent(models.Model):
    """Who did what, when, for whom. Append-only: triggers of the migration refuse every change."""

    id = models.BigAutoField(primary_key=True)
    organisation = models.ForeignKey(Organisation, models.PROTECT, related_name="+")
    user = models.ForeignKey(User, models.PROTECT, null=True, related_name="+")
    key = models.ForeignKey(ApiKey, models.PROTECT, null=True, related_name="+")
    action = models.CharField(max_length=60)
    subject = models.CharField(max_length=120)
    detail = models.JSONField()
    at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["organisation", "-id"], name="audit_of_organisation")]


class AuditLink(models.Model):
    """An event's place in the hash chain of the audit log. Append-only, as the events are."""

    position = models.BigIntegerField(primary_key=True)
    # The chain itself proves that the event is there.
    event = models.OneToOneField(AuditEvent, models.PROTECT, db_constraint=False, related_name="+")
    hash = models.BinaryField(max_length=32)
    sealed_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["sealed_at"], name="audit_link_age")]


class IdempotencyRow(models.Model):
    """The first answer to a request that names an Idempotency-Key."""

    organisation = models.ForeignKey(Organisation, models.PROTECT, related_name="+")
    key = models.CharField(max_length=255)
    operation = models.CharField(max_length=60)
    payload_hash = models.BinaryField(max_length=32)
    answer = models.JSONField(null=True)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organisation", "key"], name="idempotency_once")]


class OutboxRow(models.Model):
    """A message that follows from a committed change; the relay sends it afterwards, at least once."""

    class State(models.TextChoices):
        WAITING = "waiting", "Waiting"
        SENT = "sent", "Sent"
        FAILED = "failed", "Failed"

    id = models.BigAutoField(primary_key=True)
    topic = models.CharField(max_length=60)
    payload = models.JSONField()
    state = models.CharField(max_length=7, choices=State, default=State.WAITING)
    attempts = models.PositiveSmallIntegerField(default=0)
    created_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [models.Index(fields=["id"], name="outbox_waiting", condition=Q(state="waiting"))]
