"""People: operators, and members of organizations."""

from __future__ import annotations

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django_tenants.utils import schema_context, tenant_context

from apps.accounts.models import Membership, User
from apps.common.actor import Actor
from apps.common.roles import Role
from apps.organizations.models import Organization
from apps.provenance.services import consortium_event_record, event_record
from apps.provenance.tags import Tag
from federated.errors import InvalidInput, NotFound

PUBLIC = "public"


@transaction.atomic
def user_ensure(
    *, email: str, password: str | None, actor: Actor, name: str = "", operator: bool = False
) -> User:
    """The user with this address; made, with ``password``, if there is none.

    An existing user keeps password and flags. Works in the consortium's schema, whatever the
    current one. Raises InvalidInput for a malformed address or a weak password.
    """
    email = email.strip().lower()
    with schema_context(PUBLIC):
        known = User.objects.filter(email__iexact=email).first()
        if known is not None:
            return known
        user = User(email=email, name=name, is_operator=operator)
        try:
            validate_email(email)
            if password is not None:
                validate_password(password, user)
        except ValidationError as error:
            raise InvalidInput(f"{email}: {' '.join(error.messages)}") from error
        # None makes a password that no input matches.
        user.set_password(password)
        user.save(force_insert=True)
        consortium_event_record(
            tag=Tag.USER_CREATED,
            actor=actor,
            subject=("user", user.pk),
            data={"operator": operator},
        )
    return user


@transaction.atomic
def member_add(
    *, organization: Organization, email: str, role: str, password: str | None, actor: Actor
) -> Membership:
    """Give a person a role in the organization, or another role than before.

    ``password`` is used only where the person has no account yet.
    """
    if role not in Role.values:
        raise InvalidInput(f"role {role!r}: must be one of {', '.join(Role.values)}", field="role")
    user = user_ensure(email=email, password=password, actor=actor)
    with schema_context(PUBLIC):
        membership, created = Membership.objects.get_or_create(
            user=user, organization=organization, defaults={"role": role}
        )
        changed = membership.role != role
        if changed:
            Membership.objects.filter(pk=membership.pk).update(role=role)
            membership.role = role
    if created or changed:
        _record(organization, Tag.MEMBER_ADDED, actor, user, {"role": role})
    return membership


@transaction.atomic
def member_remove(*, organization: Organization, user: User, actor: Actor) -> None:
    """End a membership. Raises NotFound where there is none."""
    with schema_context(PUBLIC):
        gone, _ = Membership.objects.filter(user=user, organization=organization).delete()
    if not gone:
        raise NotFound("No such member.")
    _record(organization, Tag.MEMBER_REMOVED, actor, user, {})


def _record(
    organization: Organization, tag: Tag, actor: Actor, user: User, data: dict[str, str]
) -> None:
    """Records a change of membership in the organization's own log only."""
    with tenant_context(organization):
        event_record(tag=tag, actor=actor, subject=("user", user.pk), data=data)
