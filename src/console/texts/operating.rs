//! For operators: tenants and signing keys.

use super::texts;

texts! {
    /// Tenants.
    Tenants {
        title = "Organisations",
        intro = "Every organisation of this server. Only operators see this page.",
        all = "All organisations",
        name = "Name",
        state = "State",
        state_active = "Active",
        state_suspended = "Suspended",
        plan = "Plan",
        plan_hint = "Limits follow at once.",
        since = "Created",
        id = "Tenant ID",
        project_token = "Project token",
        here = "Yours",
        add = "New organisation",
        create = "Create organisation",
        created = "The organisation is there. Add its first person on the command line: jeton user create --email ADDRESS \
                   --tenant {} --role admin --one-time-password",
        set_plan = "Set plan",
        plan_changed = "The plan is changed.",
        suspend = "Suspend",
        suspend_help = "Ends every session of the organisation and refuses its API keys, until it is resumed.",
        suspend_named = "Suspend {}",
        suspend_sure = "Everything that uses its API keys stops working at once.",
        suspend_yes = "Yes, suspend",
        suspended = "The organisation is suspended.",
        own_help = "This is the organisation that you are signed in to: you will be signed out.",
        resume = "Resume",
        resume_help = "Its API keys work again; people sign in anew.",
        resume_yes = "Resume",
        resumed = "The organisation is active again.",
        delete = "Delete",
        delete_help = "Its people lose access, its sessions and API keys are gone. Nothing brings them back. The audit log stays.",
        type_name = "Name of the organisation",
        type_name_hint = "Type {} to delete it.",
        name_differs = "is not the name of this organisation",
        delete_yes = "Delete for good",
        deleted = "The organisation is deleted.",
    }

    /// Signing keys.
    SigningKeys {
        title = "Signing keys",
        intro = "What signs access tokens. A key is published before it signs, and stays published until its last token is dead.",
        line = "Lives of the keys",
        legend_pending = "Published, does not sign yet",
        legend_active = "Signs",
        legend_retiring = "Signs no more, still published",
        pending = "Pending",
        active = "Active",
        retiring = "Retiring",
        retired = "Retired",
        compromised = "Revoked",
        now = "Now",
        published_at = "Published",
        activated_at = "Signs since",
        retired_at = "Published no more",
        will_sign = "Will sign",
        will_retire = "Will be replaced",
        will_be_retired = "Leaves the key set",
        rotate = "Rotate",
        rotate_help = "Publishes another key, which signs once every service can know it. Nothing breaks.",
        rotate_sure = "A rotation that is under way already is not doubled.",
        rotate_yes = "Yes, begin a rotation",
        rotated = "The next key is published, and signs by itself once every service can know it.",
        emergency = "Emergency rotation",
        emergency_sure = "The other key signs at once. Services that keep an older copy of the key set refuse new tokens until they \
                          renew it.",
        emergency_yes = "Yes, sign with another key now",
        hastened = "Another key signs now. Services renew their copy of the key set by themselves.",
        revoke = "Revoke",
        revoke_active_sure = "For a key that has leaked: another key signs at once. Every token that this one signed is refused, \
                              by Jeton at once, by services when they renew the key set (up to jwks.max_age). Until then they \
                              refuse new tokens too.",
        revoke_retiring_sure = "For a key that has leaked: another key signs already. Every token that this one signed is \
                                refused, by Jeton at once, by services when they renew the key set (up to jwks.max_age).",
        revoke_pending_sure = "It has signed nothing yet, so no token is refused; the rotation that it was published for is over.",
        revoke_yes = "Yes, revoke {}",
        revoked = "The key is revoked, and another one signs.",
    }
}
